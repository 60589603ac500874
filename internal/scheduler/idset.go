package scheduler

import (
	"math/bits"
	"slices"
)

// idSet holds ids in order, those of the live tasks or the keys of ready ones: a sorted list of words of 64 ids, in pages. Live ids lie close together,
// so a word costs a quarter of a byte an id; where every word holds but one id, it costs 16, and at most 64 with pages that
// are a quarter full. A new id goes to the end at once; one in the middle (a dead letter lives again) moves half a page.
//
// Rejected: a tree, for its pointers; one flat list, for the millions that an insertion in the middle would move.
type idSet struct {
	pages []*idPage // none empty; Invariant: two neighbours hold more than half a page
	spare *idPage   // the last one that was let go
	page  int       // where the last change was: the next one is often there, too
	word  int
}

// idPage holds at most idPageWords words, in order of key. The first of a set grows to that: many sets are small.
type idPage struct{ words []idWord }

const idPageWords = 512

// idWord is 64 ids: those with id / 64 = key.
type idWord struct{ key, bits uint64 }

// find returns where the word of a key is, or where it belongs.
func (s *idSet) find(key uint64) (page, word int, ok bool) {
	if s.page < len(s.pages) && s.word < len(s.pages[s.page].words) && s.pages[s.page].words[s.word].key == key {
		return s.page, s.word, true
	}
	lo, hi := 0, len(s.pages) // the last page that begins at or before key
	for lo+1 < hi {
		if mid := (lo + hi) / 2; s.pages[mid].words[0].key <= key {
			lo = mid
		} else {
			hi = mid
		}
	}
	if page = lo; page == len(s.pages) {
		return page, 0, false
	}
	p := s.pages[page]
	n := len(p.words)
	if p.words[n-1].key < key { // usual: a new task's
		return page, n, false
	}
	lo, hi = 0, n
	for lo < hi {
		if mid := (lo + hi) / 2; p.words[mid].key < key {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return page, lo, p.words[lo].key == key
}

// add puts in an id that isn't there.
func (s *idSet) add(id TaskID) {
	key, bit := uint64(id)>>6, uint64(1)<<(id&63)
	page, word, ok := s.find(key)
	if !ok {
		page, word = s.insert(page, word, key)
	}
	s.pages[page].words[word].bits |= bit
	s.page, s.word = page, word
}

// insert makes a word at a place that find gave.
func (s *idSet) insert(page, word int, key uint64) (int, int) {
	switch {
	case page == len(s.pages): // there is no page yet
		s.insertPage(page)
	case len(s.pages[page].words) < idPageWords:
	case page == len(s.pages)-1 && word == idPageWords: // at the end: pages stay full
		page, word = page+1, 0
		s.insertPage(page)
	default:
		s.insertPage(page + 1)
		from, to := s.pages[page], s.pages[page+1]
		to.words = append(to.words, from.words[idPageWords/2:]...)
		from.words = from.words[:idPageWords/2]
		if word > len(from.words) {
			page, word = page+1, word-len(from.words)
		}
	}
	p := s.pages[page]
	p.words = slices.Insert(p.words, word, idWord{key: key})
	return page, word
}

func (s *idSet) insertPage(at int) {
	p := s.spare
	if s.spare = nil; p == nil {
		p = &idPage{}
	}
	if p.words = p.words[:0]; at > 0 && cap(p.words) < idPageWords {
		p.words = make([]idWord, 0, idPageWords)
	}
	s.pages = append(s.pages, nil)
	copy(s.pages[at+1:], s.pages[at:])
	s.pages[at] = p
}

// remove takes out an id that is there.
func (s *idSet) remove(id TaskID) {
	page, word, ok := s.find(uint64(id) >> 6)
	bit := uint64(1) << (id & 63)
	if !ok || s.pages[page].words[word].bits&bit == 0 {
		panic("scheduler: task " + utoa(uint64(id)) + " isn't among the live ones")
	}
	s.page, s.word = page, word
	p := s.pages[page]
	if p.words[word].bits &^= bit; p.words[word].bits != 0 {
		return
	}
	p.words = slices.Delete(p.words, word, word+1)
	if len(p.words) == 0 {
		s.removePage(page)
		return
	}
	if page+1 < len(s.pages) {
		s.join(page)
	}
	if page > 0 {
		s.join(page - 1)
	}
}

// join makes one page of two neighbours that would fill no more than half of it.
func (s *idSet) join(page int) {
	p, next := s.pages[page], s.pages[page+1]
	if len(p.words)+len(next.words) > idPageWords/2 {
		return
	}
	p.words = append(p.words, next.words...)
	s.removePage(page + 1)
}

func (s *idSet) removePage(at int) {
	s.spare = s.pages[at]
	copy(s.pages[at:], s.pages[at+1:])
	s.pages[len(s.pages)-1] = nil
	s.pages = s.pages[:len(s.pages)-1]
}

// has reports whether an id is there.
func (s *idSet) has(id TaskID) bool {
	page, word, ok := s.find(uint64(id) >> 6)
	return ok && s.pages[page].words[word].bits&(1<<(id&63)) != 0
}

// first returns the lowest id; there must be one.
func (s *idSet) first() TaskID {
	w := s.pages[0].words[0]
	return TaskID(w.key<<6 | uint64(bits.TrailingZeros64(w.bits)))
}

// walk calls f for the ids above after, in order, until it says no.
func (s *idSet) walk(after TaskID, f func(TaskID) bool) {
	from := after + 1
	if from == 0 {
		return
	}
	page, word, ok := s.find(uint64(from) >> 6)
	mask := ^uint64(0)
	if ok {
		mask <<= from & 63
	}
	for ; page < len(s.pages); page, word = page+1, 0 {
		for p := s.pages[page]; word < len(p.words); word++ {
			w := p.words[word]
			for left := w.bits & mask; left != 0; left &= left - 1 {
				if !f(TaskID(w.key<<6 | uint64(bits.TrailingZeros64(left)))) {
					return
				}
			}
			mask = ^uint64(0)
		}
	}
}

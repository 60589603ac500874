package scheduler

// paged is a stack that can be indexed and never copies more than one page when it grows: a slice of millions stalls
// Apply for tens of milliseconds each time it doubles. A short one takes no more than it needs.
type paged[E any] struct {
	pages [][]E
	n     int
}

const (
	pageBits = 10
	pageRows = 1 << pageBits
)

func (p *paged[E]) len() int { return p.n }

func (p *paged[E]) at(i int) *E { return &p.pages[i>>pageBits][i&(pageRows-1)] }

func (p *paged[E]) push(e E) {
	page := p.n >> pageBits
	switch {
	case page < len(p.pages):
	case page == 0:
		p.pages = append(p.pages, nil)
	default:
		p.pages = append(p.pages, make([]E, 0, pageRows))
	}
	p.pages[page] = append(p.pages[page], e)
	p.n++
}

// pop removes the last element. One empty page is kept, so that a stack that goes up and down round a page's end doesn't
// allocate each time.
func (p *paged[E]) pop() E {
	p.n--
	page := p.n >> pageBits
	last := len(p.pages[page]) - 1
	e := p.pages[page][last]
	var zero E
	p.pages[page][last] = zero
	p.pages[page] = p.pages[page][:last]
	if page+2 < len(p.pages) {
		p.pages[page+2] = nil
		p.pages = p.pages[:page+2]
	}
	return e
}

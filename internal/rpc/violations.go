package rpc

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/yardmaster/yardmaster/internal/scheduler"
)

const (
	violationsMax  = 16 // told at once; details travel in a header, and many clients accept 8 KiB of them
	valueBytesMax  = 40 // of an offending value, in a message
	nameRule       = "want a name (1 to 63 characters of a-z, 0-9, '.', '_', '-', the first a letter or digit), got %s: rename it"
	maxTimeSeconds = math.MaxInt64/int64(time.Second) - 1
)

// violations gathers everything that is wrong with a request. Paths are built only for what is wrong.
type violations struct {
	list []*errdetails.BadRequest_FieldViolation
	more int
	at   prefix
}

// prefix is where the fields being checked are: tasks[3].
type prefix struct {
	list string
	i    int
}

func (v *violations) any() bool { return len(v.list) > 0 }

// add notes a field at fault. The format says limit, value and cure.
func (v *violations) add(field, format string, args ...any) {
	if len(v.list) >= violationsMax {
		v.more++
		return
	}
	if v.at.list != "" {
		path := v.at.list + "[" + strconv.Itoa(v.at.i) + "]"
		if field != "" {
			path += "." + field
		}
		field = path
	}
	v.list = append(v.list, &errdetails.BadRequest_FieldViolation{Field: field, Description: fmt.Sprintf(format, args...)})
}

// quote shows a value, shortened.
func quote(s string) string {
	if len(s) > valueBytesMax {
		return strconv.Quote(cut(s, valueBytesMax)) + "…"
	}
	return strconv.Quote(s)
}

// cut shortens s to at most n bytes, between characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// cutTail keeps the last n bytes at most, between characters.
func cutTail(s string, n int) string {
	if len(s) <= n {
		return s
	}
	i := len(s) - n
	for i < len(s) && !utf8.RuneStart(s[i]) {
		i++
	}
	return s[i:]
}

func (v *violations) name(field, s string) {
	if !scheduler.ValidName(s) {
		v.add(field, nameRule, quote(s))
	}
}

// names checks a list of names and returns it sorted and without repeats.
func (v *violations) names(field string, list []string, least, most int) []string {
	if len(list) < least || len(list) > most {
		v.add(field, "want %d to %d names, got %d: %s", least, most, len(list), fewer(len(list), most, "leave some out"))
		return nil
	}
	for i, s := range list {
		if !scheduler.ValidName(s) {
			v.add(field+"["+strconv.Itoa(i)+"]", nameRule, quote(s))
		}
	}
	sorted := slices.Clone(list)
	slices.Sort(sorted)
	return slices.Compact(sorted)
}

// labels checks labels and returns them sorted by key.
func (v *violations) labels(field string, m map[string]string) []scheduler.Label {
	if len(m) == 0 {
		return nil
	}
	if len(m) > scheduler.LabelsMax {
		v.add(field, "want at most %d labels, got %d: leave some out, or put them into the payload", scheduler.LabelsMax, len(m))
		return nil
	}
	list := make([]scheduler.Label, 0, len(m))
	for k, s := range m {
		list = append(list, scheduler.Label{Key: k, Value: s})
	}
	slices.SortFunc(list, func(a, b scheduler.Label) int { return strings.Compare(a.Key, b.Key) })
	for _, l := range list {
		if !scheduler.ValidName(l.Key) {
			v.add(field, "key: "+nameRule, quote(l.Key))
		}
		if len(l.Value) > scheduler.LabelValueMax {
			v.add(field+"["+quote(l.Key)+"]", "want a value of at most %d bytes, got %d: shorten it",
				scheduler.LabelValueMax, len(l.Value))
		}
	}
	return list
}

// number checks an unsigned number; 0 means the default.
func (v *violations) number(field string, n uint32, most, byDefault uint32) uint32 {
	if n == 0 {
		return byDefault
	}
	if n > most {
		v.add(field, "want 1 to %d (0 means %d), got %d: lower it", most, byDefault, n)
	}
	return n
}

// span checks a duration; absent means the default.
func (v *violations) span(field string, d *durationpb.Duration, most, byDefault scheduler.Duration) scheduler.Duration {
	if d == nil {
		return byDefault
	}
	got := scheduler.Duration(d.AsDuration())
	if d.CheckValid() != nil || got < 0 || got > most {
		v.add(field, "want 0 to %s, got %s: %s", spell(most), spellProto(d), shorter(got))
		return 0
	}
	return got
}

// time checks a point of time; absent means none.
func (v *violations) time(field string, t *timestamppb.Timestamp) scheduler.Time {
	if t == nil {
		return 0
	}
	if t.CheckValid() != nil || t.GetSeconds() < 0 || t.GetSeconds() > maxTimeSeconds || t.GetSeconds() == 0 && t.GetNanos() == 0 {
		v.add(field, "want a time after 1970 and before 2262, got %d s and %d ns since 1970: leave it out if none is meant", t.GetSeconds(), t.GetNanos())
		return 0
	}
	return scheduler.Time(t.GetSeconds()*int64(time.Second) + int64(t.GetNanos()))
}

// ids checks a list of task ids.
func (v *violations) ids(field string, ids []uint64, most int) []scheduler.TaskID {
	if len(ids) == 0 || len(ids) > most {
		v.add(field, "want 1 to %d ids, got %d: %s", most, len(ids), fewer(len(ids), most, "split the request"))
		return nil
	}
	list := make([]scheduler.TaskID, len(ids))
	for i, id := range ids {
		if id == 0 {
			v.add(field+"["+strconv.Itoa(i)+"]", "want a task's id, from 1, got 0: leave it out")
		}
		list[i] = scheduler.TaskID(id)
	}
	return list
}

// spell writes a bound in days if it is some.
func spell(d scheduler.Duration) string {
	if d >= scheduler.Day && d%scheduler.Day == 0 {
		return strconv.FormatInt(int64(d/scheduler.Day), 10) + " d"
	}
	return time.Duration(d).String()
}

func spellProto(d *durationpb.Duration) string {
	if d.CheckValid() != nil {
		return fmt.Sprintf("an invalid duration (%d s, %d ns)", d.GetSeconds(), d.GetNanos())
	}
	if got := d.AsDuration(); got.Truncate(time.Second) == time.Duration(d.GetSeconds())*time.Second {
		return got.String()
	}
	return strconv.FormatInt(d.GetSeconds(), 10) + " s"
}

// fewer is the cure for a list of the wrong length.
func fewer(n, most int, cure string) string {
	if n > most {
		return cure
	}
	return "name at least one"
}

// shorter is the cure for a span out of its bounds.
func shorter(got scheduler.Duration) string {
	if got < 0 {
		return "it can't be negative, give 0 or leave it out"
	}
	return "shorten it"
}

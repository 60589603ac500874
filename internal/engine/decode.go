package engine

import (
	"fmt"

	storagev1 "github.com/yardmaster/yardmaster/gen/storage/v1"
	"github.com/yardmaster/yardmaster/internal/scheduler"
	"google.golang.org/protobuf/proto"
)

// decoder decodes log entries. What comes in masses, submits and outcomes, it reads field by field, in the form that the
// encoder gives them; everything else, and every other form, the generated code reads. A replay of a million tasks is most
// of a start. Owned by one goroutine.
type decoder struct {
	arena  arena       // memory for bodies
	kind   string      // of the last task: the next one's is likely the same
	queue  string      // likewise
	policy policyBytes // likewise
}

// decodeEntry decodes a log entry.
func decodeEntry(data []byte, b *scheduler.Batch) error { return (&decoder{}).entry(data, b) }

// entry decodes a log entry. The batch's outcomes keep parts of data; nothing else does.
func (d *decoder) entry(data []byte, b *scheduler.Batch) error {
	c := cursor{data: data}
	*b = scheduler.Batch{}
	for first := true; c.next(5); {
		switch c.num {
		case 1:
			b.Logic = uint32(c.uint())
		case 2:
			b.Now = scheduler.Time(c.uint())
		case 3:
			c.fixed64()
		case 4:
			c.uint()
		case 5:
			if first {
				if checkLogic(b.Logic) != nil {
					return decodeGenerated(data, b)
				}
				rest := c
				rest.bytes()
				b.Commands = make([]scheduler.Command, 0, 1+rest.count(5))
				first = false
			}
			v := c.bytes()
			if c.spoilt {
				break
			}
			b.Commands = b.Commands[:len(b.Commands)+1] // as many as were counted
			if err := d.command(v, &b.Commands[len(b.Commands)-1]); err != nil {
				return fmt.Errorf("command %d: %w", len(b.Commands)-1, err)
			}
		default:
			c.spoilt = true
		}
	}
	if c.spoilt {
		return decodeGenerated(data, b)
	}
	if b.Commands == nil {
		b.Commands = []scheduler.Command{}
	}
	return checkLogic(b.Logic)
}

// decodeGenerated decodes an entry in any form.
func decodeGenerated(data []byte, b *scheduler.Batch) error {
	en := &storagev1.Entry{}
	if err := proto.Unmarshal(data, en); err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	if err := checkLogic(en.GetLogic()); err != nil {
		return err
	}
	*b = scheduler.Batch{Logic: en.GetLogic(), Now: scheduler.Time(en.GetNow()), Commands: make([]scheduler.Command, len(en.GetCommands()))}
	for i, c := range en.GetCommands() {
		if err := commandFromProto(c, &b.Commands[i]); err != nil {
			return fmt.Errorf("command %d: %w", i, err)
		}
	}
	return nil
}

func (d *decoder) command(data []byte, c *scheduler.Command) error {
	if d.fast(data, c) {
		return nil
	}
	p := &storagev1.Command{}
	if err := proto.Unmarshal(data, p); err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	*c = scheduler.Command{}
	return commandFromProto(p, c)
}

// Numbers of a Command's arguments.
const (
	commandSubmit   = 3
	commandOutcomes = 9
)

// fast decodes a submit or outcomes in the encoder's form, or says that this is something else.
func (d *decoder) fast(data []byte, c *scheduler.Command) bool {
	x := cursor{data: data}
	if !x.next(0) || x.num != 1 {
		return false
	}
	op := scheduler.Op(narrow8(uint32(x.uint())))
	if !x.next(0) {
		return false
	}
	c.Op = op
	ok := false
	switch {
	case op == scheduler.OpSubmit && x.num == commandSubmit:
		c.Submit, ok = d.submit(x.bytes())
	case op == scheduler.OpOutcomes && x.num == commandOutcomes:
		c.Outcomes, ok = decodeOutcomes(x.bytes())
	}
	return ok && !x.spoilt && len(x.data) == 0
}

func decodeOutcomes(data []byte) (*scheduler.Outcomes, bool) {
	c := cursor{data: data}
	o := &scheduler.Outcomes{}
	for c.next(5) {
		switch c.num {
		case 1:
			o.Session = scheduler.SessionID(c.uint())
		case 2:
			o.Attach = c.uint()
		case 3:
			o.FirstSeq = c.uint()
		case 4:
			o.AnswersThrough = c.uint()
		case 5:
			if o.List == nil {
				rest := c
				rest.bytes()
				o.List = make([]scheduler.Outcome, 0, 1+rest.count(5))
			}
			o.List = o.List[:len(o.List)+1] // as many as were counted
			c.outcome(&o.List[len(o.List)-1])
		default:
			c.spoilt = true
		}
	}
	return o, !c.spoilt
}

func (c *cursor) outcome(o *scheduler.Outcome) {
	x := cursor{data: c.bytes()}
	for x.next(0) {
		switch x.num {
		case 1:
			o.Token = scheduler.Token(x.uint())
		case 2:
			o.Task = scheduler.TaskID(x.uint())
		case 3:
			o.Kind = scheduler.OutcomeKind(narrow8(uint32(x.uint())))
		case 4:
			o.Cause = scheduler.Cause(narrow8(uint32(x.uint())))
		case 5:
			o.Permanent = x.bool()
		case 6:
			o.RetryAfter = scheduler.Duration(x.uint())
		case 7:
			o.Detail = x.some()
		default:
			x.spoilt = true
		}
	}
	c.spoilt = c.spoilt || x.spoilt
}

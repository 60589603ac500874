package engine

import (
	"reflect"
	"testing"

	"github.com/yardmaster/yardmaster/internal/scheduler"
	"pgregory.net/rapid"
)

// agree compares the decoder with the generated code.
func agree(t rapid.TB, d *decoder, data []byte) {
	t.Helper()
	var got, want scheduler.Batch
	err, wanted := d.entry(data, &got), decodeGenerated(data, &want)
	if (err != nil) != (wanted != nil) {
		t.Fatalf("%x: %v, the generated code says %v", data, err, wanted)
	}
	if err == nil && !reflect.DeepEqual(got, want) {
		t.Fatalf("%x decoded as\n%+v, the generated code says\n%+v", data, got, want)
	}
}

// TestDecoderAgrees: whatever form an entry has, it is decoded as the generated code does.
func TestDecoderAgrees(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := &decoder{} // goes on from entry to entry
		for range rapid.IntRange(1, 3).Draw(t, "entries") {
			data, err := (&encoder{}).entry(drawBatch(t), identity{rapid.Uint64().Draw(t, "proposer"), 7})
			if err != nil {
				t.Fatal(err)
			}
			for range rapid.IntRange(0, 3).Draw(t, "damages") {
				at := rapid.IntRange(0, len(data)-1).Draw(t, "at")
				switch rapid.IntRange(0, 3).Draw(t, "damage") {
				case 0:
					data = data[:at]
				case 1:
					data[at] = rapid.Byte().Draw(t, "byte")
				case 2:
					data = append(data[:at:at], data[min(at+rapid.IntRange(1, 8).Draw(t, "cut"), len(data)):]...)
				default:
					data = append(data[:at:at], append([]byte{rapid.Byte().Draw(t, "byte")}, data[at:]...)...)
				}
				if len(data) == 0 {
					break
				}
			}
			agree(t, d, data)
		}
	})
}

// TestOtherForms: messages whose fields are out of order, twice there, unknown or empty are read as the generated code does.
func TestOtherForms(t *testing.T) {
	entry := func(fields ...byte) []byte { return append([]byte{1 << 3, 2}, fields...) }
	submit := func(fields ...byte) []byte {
		s := append([]byte{4<<3 | 2, byte(len(fields))}, fields...)
		c := append([]byte{1 << 3, byte(scheduler.OpSubmit), 3<<3 | 2, byte(len(s))}, s...)
		return entry(append([]byte{5<<3 | 2, byte(len(c))}, c...)...)
	}
	for name, data := range map[string][]byte{
		"nothing":                 {},
		"no commands":             entry(),
		"version last":            {5<<3 | 2, 2, 1 << 3, 2, 1 << 3, 2},
		"version twice":           entry(1<<3, 1),
		"an unknown field":        entry(6<<3, 1),
		"a large unknown field":   entry(0x80|6<<3, 1, 1),
		"a group":                 entry(5<<3|3, 5<<3|4),
		"a task without anything": submit(),
		"an empty kind":           submit(1<<3|2, 0),
		"kind as a number":        submit(1<<3, 7),
		"bad text":                submit(1<<3|2, 1, 0xff),
		"kind after queue":        submit(2<<3|2, 1, 'q', 1<<3|2, 1, 'k'),
		"kind twice":              submit(1<<3|2, 1, 'k', 1<<3|2, 1, 'l'),
		"an empty body":           submit(15<<3|2, 0),
		"an empty key":            submit(7<<3|2, 0),
		"a short key":             submit(7<<3|2, 1, 1),
		"an empty policy":         submit(13<<3|2, 0),
		"a policy in two parts":   submit(13<<3|2, 2, 1<<3, 5, 13<<3|2, 2, 2<<3, 6),
		"a label's key twice":     submit(3<<3|2, 6, 1<<3|2, 1, 'a', 1<<3|2, 1, 'b'),
		"a weight too large":      submit(5<<3, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01),
		"a long varint":           submit(5<<3, 0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02),
		"a boolean of 2":          submit(6<<3, 2),
	} {
		t.Run(name, func(t *testing.T) { agree(t, &decoder{}, data) })
	}
}

// TestDecoderIsFast: what the encoder writes in masses isn't left to the generated code.
func TestDecoderIsFast(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		for _, c := range drawBatch(t).Commands {
			if c.Op != scheduler.OpSubmit && c.Op != scheduler.OpOutcomes {
				continue
			}
			data, err := (&encoder{}).command(nil, &c)
			if err != nil {
				t.Fatal(err)
			}
			x := cursor{data: data}
			x.next(0)
			var got scheduler.Command
			if d := (&decoder{}); !d.fast(x.bytes(), &got) || !reflect.DeepEqual(got, c) {
				t.Fatalf("decoded\n%+v, want\n%+v", got, c)
			}
		}
	})
}

// TestBodiesAreCopied: an entry's memory is the log's; what is kept of it is copied.
func TestBodiesAreCopied(t *testing.T) {
	data, err := (&encoder{}).entry(benchBatch(), identity{1, 1})
	if err != nil {
		t.Fatal(err)
	}
	var got, want scheduler.Batch
	if err := (&decoder{}).entry(data, &got); err != nil {
		t.Fatal(err)
	}
	if err := decodeGenerated(data, &want); err != nil {
		t.Fatal(err)
	}
	clear(data)
	if !reflect.DeepEqual(got, want) {
		t.Error("the batch has changed with the entry")
	}
}

package client

import (
	"testing"
	"time"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// What is written by hand must be what the generated code would have sent.
func TestEncodedSubmitIsTheGeneratedMessage(t *testing.T) {
	want := &yardmasterv1.SubmitRequest{Producer: &yardmasterv1.Producer{Id: []byte("0123456789abcdef"), Number: 300, LowestUnanswered: 7}}
	var m encodedSubmit
	var tasks []byte
	long, short := 3*time.Hour+5, time.Duration(0)
	filled := Task{
		Kind: "k", Queue: "q", Priority: -3, Weight: 2, Delay: -time.Minute - 1, AttemptTimeout: &long, Retention: &short,
		DeadRetention: &long, NotBefore: time.Unix(1, 2), StartBy: time.Unix(3, 4), Deadline: time.Unix(5, 6),
		Retry: Retry{MaxAttempts: 3, Backoff: &long}, Labels: map[string]string{"a": "b"}, Key: "key",
	}
	room := new(scratch)
	for i := range 3 {
		task := Task{Kind: "k", Queue: "q", Payload: make([]byte, 200*i)}
		if i == 1 {
			task = filled // and nothing of it in the next
		}
		spec, err := room.encode(&task)
		if err != nil {
			t.Fatal(err)
		}
		tasks = appendTask(tasks, spec)
		want.Tasks = append(want.Tasks, task.Spec())
	}
	m.tasks, m.producer = mem.SliceBuffer(tasks), want.GetProducer()
	for _, stream := range []bool{false, true} {
		m.stream = stream
		data, err := newSubmitCodec().Marshal(&m)
		if err != nil {
			t.Fatal(err)
		}
		var got yardmasterv1.SubmitStreamRequest
		if stream {
			err = proto.Unmarshal(data.Materialize(), &got)
		} else {
			got.Submit = new(yardmasterv1.SubmitRequest)
			err = proto.Unmarshal(data.Materialize(), got.GetSubmit())
		}
		if err != nil || !proto.Equal(got.GetSubmit(), want) {
			t.Errorf("stream %v: error %v\ngot  %v\nwant %v", stream, err, got.GetSubmit(), want)
		}
	}
}

func TestBlame(t *testing.T) {
	e := &Error{Message: "tasks[1].key was used", Metadata: map[string]string{"index": "1"}}
	if got := blame(e, 3); len(got) != 1 || got[1].Message != "tasks[0].key was used" {
		t.Errorf("by index: %v", got)
	}
	if got := blame(e, 1); len(got) != 0 {
		t.Errorf("an index beyond the request: %v", got)
	}
	e = &Error{Fields: []FieldViolation{{"tasks[0].kind", "a"}, {"tasks[2].kind", "b"}, {"tasks[2].weight", "c"}, {"producer", "d"}}}
	got := blame(e, 3)
	if len(got) != 2 || len(got[2].Fields) != 2 || got[2].Fields[1] != (FieldViolation{"tasks[0].weight", "c"}) {
		t.Errorf("by fields: %v", got)
	}
	for _, field := range []string{"", "tasks", "tasks[x].kind", "tasks[-1].kind", "tasks[99].kind", "tasks[1"} {
		if got := blame(&Error{Fields: []FieldViolation{{field, "a"}}}, 3); len(got) != 0 {
			t.Errorf("%q blames %v", field, got)
		}
	}
}

package wire

import (
	"testing"

	"google.golang.org/protobuf/proto"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// TestLargeMessageHoldsLittle: a message that the generated code encodes holds at most twice its size while it waits for a
// receiver that doesn't read, and is the same as ever on the wire.
func TestLargeMessageHoldsLittle(t *testing.T) {
	for _, events := range []int{1, 100, 500, 1000, 20_000} {
		list := &yardmasterv1.Events{ThroughPosition: uint64(events)}
		for i := range events {
			list.Events = append(list.Events, &yardmasterv1.Event{
				Position: uint64(i + 1), Type: yardmasterv1.Event_TYPE_SUBMITTED, TaskId: uint64(i + 1), Queue: "default", Kind: "a-kind-of-task",
			})
		}
		want := &yardmasterv1.TaskServiceWatchResponse{Message: &yardmasterv1.TaskServiceWatchResponse_Events{Events: list}}
		data, err := New().Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		size, holds := proto.Size(want), 0
		for _, b := range data {
			holds += cap(b.ReadOnlyData())
		}
		if data.Len() != size || holds > max(2*size, otherBytesMax) {
			t.Errorf("%d events: %d bytes hold %d; encoded they are %d", events, data.Len(), holds, size)
		}
		got := &yardmasterv1.TaskServiceWatchResponse{}
		if err := New().Unmarshal(data, got); err != nil || !proto.Equal(got, want) {
			t.Errorf("%d events: decoded they differ: %v", events, err)
		}
		data.Free()
	}
}

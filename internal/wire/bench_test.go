package wire

import (
	"testing"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

// masses are messages as they come under load, with the number of elements in each.
func masses() map[string]struct {
	message  proto.Message
	elements int
} {
	id := make([]byte, 16)
	payload := make([]byte, 256)
	submit := &yardmasterv1.SubmitRequest{Producer: &yardmasterv1.Producer{Id: id, Number: 300, LowestUnanswered: 290}}
	ids := &yardmasterv1.SubmitResponse{}
	for i := range 100 {
		submit.Tasks = append(submit.Tasks, &yardmasterv1.TaskSpec{Kind: "noop", Queue: "default", Payload: payload, Retention: &durationpb.Duration{}})
		ids.TaskIds = append(ids.TaskIds, uint64(1_000_000+i))
	}
	grants := &yardmasterv1.Grants{Seq: 77}
	outcomes := &yardmasterv1.Outcomes{FirstSeq: 123_456}
	started := &yardmasterv1.Started{}
	for i := range 500 {
		grants.Leases = append(grants.Leases, &yardmasterv1.TaskLease{
			Token: 3_000_000 + uint64(i), TaskId: 2_000_000 + uint64(i), Kind: "noop", Queue: "default", Payload: payload, Attempt: 1,
			MaxAttempts: 20, Weight: 1, Pool: "default", AttemptTimeout: &durationpb.Duration{Seconds: 3600}, Generation: 1,
		})
		outcomes.Outcomes = append(outcomes.Outcomes, &yardmasterv1.AttemptOutcome{
			Token: 3_000_000 + uint64(i), TaskId: 2_000_000 + uint64(i), RunTime: &durationpb.Duration{Nanos: 12_345},
			Kind: &yardmasterv1.AttemptOutcome_Succeeded{Succeeded: &yardmasterv1.Succeeded{}},
		})
		started.Tokens = append(started.Tokens, 3_000_000+uint64(i))
	}
	return map[string]struct {
		message  proto.Message
		elements int
	}{
		"SubmitStreamRequest": {&yardmasterv1.SubmitStreamRequest{Submit: submit}, 100},
		"SubmitResponse":      {ids, 100},
		"Grants":              {&yardmasterv1.SessionResponse{Message: &yardmasterv1.SessionResponse_Grants{Grants: grants}}, 500},
		"Outcomes":            {&yardmasterv1.SessionRequest{ReceivedThrough: 77, Message: &yardmasterv1.SessionRequest_Outcomes{Outcomes: outcomes}}, 500},
		"Started":             {&yardmasterv1.SessionRequest{ReceivedThrough: 77, Message: &yardmasterv1.SessionRequest_Started{Started: started}}, 500},
	}
}

// BenchmarkCodec compares this codec with gRPC's own, in nanoseconds an element of a message's list.
func BenchmarkCodec(b *testing.B) {
	codecs := map[string]encoding.CodecV2{"generated": encoding.GetCodecV2("proto"), "wire": New()}
	for name, x := range masses() {
		data, err := proto.Marshal(x.message)
		if err != nil {
			b.Fatal(err)
		}
		perElement := func(b *testing.B) {
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*x.elements), "ns/element")
		}
		for _, by := range []string{"generated", "wire"} {
			b.Run("Decode/"+name+"/"+by, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					m := x.message.ProtoReflect().New().Interface()
					if err := codecs[by].Unmarshal(mem.BufferSlice{mem.SliceBuffer(data)}, m); err != nil {
						b.Fatal(err)
					}
				}
				perElement(b)
			})
			b.Run("Encode/"+name+"/"+by, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					out, err := codecs[by].Marshal(x.message)
					if err != nil {
						b.Fatal(err)
					}
					out.Free()
				}
				perElement(b)
			})
		}
	}
}

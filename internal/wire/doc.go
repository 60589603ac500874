// Package wire is gRPC's codec of protobuf, made cheap for the messages that come in masses: submits, grants and outcomes,
// and the answers to them. Its central type is [Codec].
//
// The bytes are those of the protocol, and the Go types the generated ones: only the way between them is another. The
// generated code walks tables and makes every task, lease and outcome one by one; here they are made many at a time, and
// what they hold is copied into small pieces of shared memory.
//
// Exactness: for every input the result is that of [proto.Unmarshal] and [proto.Marshal]. The rule that keeps it is simple:
// whatever isn't expected (an unknown field, a singular field that comes twice, another wire type, text that isn't UTF-8,
// an end in the middle) makes the whole message the generated code's, from its first byte. So it says what an error is, it
// keeps unknown fields, and it merges what comes twice. Fields of a handled message that are rare (a Hello, a failure) are
// its too. TestKnowsEveryField fails when the contract gains a field that this package doesn't know.
//
// The generated messages are filled and read, never kept. What a decoded message holds is shared with its neighbours in
// pieces of at most 16 KiB, so that a payload that is held for hours keeps no whole message in memory; larger values have
// memory of their own.
//
// A Codec is set on the connections of this module's own server, client and worker. It is never registered: other gRPC
// services in a user's process keep their own.
package wire

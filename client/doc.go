// Package client is the Go SDK for those who submit tasks to Yardmaster and wait for their outcomes. (Package worker is
// for those who run them.)
//
// The central type is [Client]: one connection to a coordinator, or to several of one cluster, safe for any number of
// goroutines. It lives as long as the program: connections come and go beneath it.
//
//	c, err := client.New(client.Config{Addresses: []string{"127.0.0.1:7420"}})
//	if err != nil { … }
//	defer c.Close()
//	id, err := c.Submit(ctx, client.Task{Kind: "hash", Payload: data})
//	out, err := c.Await(ctx, id)
//
// # What is repeated
//
// A call that fails because the coordinator could not be reached, because the connection broke, or because the
// coordinator was full and said when to come back, is repeated, with full jitter and within a budget ([retryBudget]), until
// the caller's context ends or Config.GiveUp (5 minutes) has passed. That goes for Get, List, Explain, Await and the
// queue and operator calls that change nothing or can be repeated without effect (Cancel, Pause, Resume, Configure).
// Retry, which begins a new generation each time, is repeated only if the request never left.
//
// Submit is repeated under a producer's number (see producer.go): however often a request arrives, the coordinator
// stores its tasks once and answers alike.
//
// # What an error says
//
// Every error of a call is an [*Error]. Of a Submit it says one of two things:
//
//   - errors.Is(err, [ErrOutcomeUnknown]): the client gave up (context, 5 minutes, Close) while an attempt was under way
//     or unanswered. The tasks are stored, all or none; this error doesn't know which. Submitting them again can store
//     them twice; tasks with a Key can be submitted again without harm.
//   - any other: nothing of it is stored and nothing will be.
//
// A number given up doesn't stay open for ever: once it and all numbers before it have ended, the next submit of the same
// producer tells the coordinator that they are no longer waited for, and a copy that still lingers on the way is refused.
// What was not stored by then never will be.
//
// # Invariants
//
//   - A request keeps its producer, its number and its lowest unanswered number through all repeats.
//   - At most 256 submits of a client are in flight; a number given up counts as answered.
//   - AwaitAll hands each distinct id over at most once, whatever happened to its streams.
//
// # Trust
//
// That a repeat is harmless rests on the coordinator's memory of producers: an hour after last use, and 10 minutes at the
// least under pressure. The client gives up well inside of that, by the monotonic and by the wall clock. Only a machine
// put to sleep for over an hour between the decision to repeat a client's very first submit and its sending could defeat
// it. Two copies of a running process (a virtual machine restored twice) share a producer and must not go on submitting.
package client

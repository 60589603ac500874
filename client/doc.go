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
// # Ways to submit
//
//   - [Client.Submit]: one task, one request: some 10,000 a second at the most.
//   - [Client.SubmitAll], [Client.SubmitSpecs]: tasks at hand, in requests of 1,000.
//   - [Submitter]: single submits of many goroutines, or of one that doesn't wait for each, sent together over a stream.
//
// # Ways to follow
//
// [Client.Await] and [Client.AwaitAll] wait for ends; [Client.WatchTask] follows one task's states; [Client.Watch]
// follows events of all tasks, queues and workers, and says so when it has missed some. [Client.List] and
// [Client.Count] look at what there is, [Client.Timeline] and [Client.Explain] at why.
//
// # What is repeated
//
// A call that fails because the coordinator could not be reached, because the connection broke, or because the
// coordinator was full and said when to come back, is repeated, with full jitter and within a budget ([retryBudget]), until
// the caller's context ends or Config.GiveUp (5 minutes) has passed. That goes for all that only ask (Get, List, Timeline,
// Explain, Status) and for what can be repeated without further effect (Cancel, Delete, Pause, Resume, Configure). Of
// several coordinators of which none is SERVING those that only ask are put to any that answers.
//
// Retry, which begins a new generation each time, and Purge, which would purge later tasks too, are repeated only if the
// request never left.
//
// The streams of Await, Watch and WatchTask are resumed: no outcome and no event is handed over twice, and what was missed
// is told ([Lagged]). The bulk calls ([Client.CancelAll], [Client.RetryAll], [Client.DeleteAll]) are made of List and
// commands, each repeated by its own rule; after an error their result says how far they came and how to go on.
//
// Submit is repeated under a producer's number (see producer.go): however often a request arrives, the coordinator
// stores its tasks once and answers alike. A Submitter has a producer of its own and does the same for each request of its
// streams. A refused request has stored nothing: its tasks may go out again, in other company and under another number,
// unless an earlier attempt of it was left unanswered; then it keeps its number.
//
// # What an error says
//
// Every error of a call is an [*Error] (of SubmitAll a [*PartialError] round it). Of a Submit, the Submitter's included,
// it says one of two things:
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
//   - A Submitter holds at most what its SubmitterConfig says; each task that it takes in is told one end.
//   - AwaitAll hands each distinct id over at most once, whatever happened to its streams.
//
// # Trust
//
// That a repeat is harmless rests on the coordinator's memory of producers: an hour after last use, and 10 minutes at the
// least under pressure. The client gives up well inside of that, by the monotonic and by the wall clock. Only a machine
// put to sleep for over an hour between the decision to repeat a client's very first submit and its sending could defeat
// it. Two copies of a running process (a virtual machine restored twice) share a producer and must not go on submitting.
package client

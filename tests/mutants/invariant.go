package main

import "fmt"

// Invariant is one of the promises that the simulator checks, by its number.
type Invariant int

// InvariantMax is the highest.
const InvariantMax = 17

var invariantNames = [InvariantMax + 1]string{
	1:  "an acknowledged submit exists until its end and retention",
	2:  "one task per idempotency key and producer sequence",
	3:  "no lease without a submit",
	4:  "at most one live lease a task",
	5:  "tokens strictly grow and are unique",
	6:  "an outcome is accepted iff its token is current, once",
	7:  "only legal transitions",
	8:  "a worker lets go before its lease is given to another",
	9:  "attempts and losses within bounds, no dispatch out of its time",
	10: "slots and queue limits respected",
	11: "conservation of tasks",
	12: "events ordered, unique, without gaps",
	13: "nothing is told before its batch is durable",
	14: "equal applied index, equal state",
	15: "nothing applied twice",
	16: "liveness",
	17: "bounds",
}

func (i Invariant) String() string {
	if i < 1 || i > InvariantMax {
		return fmt.Sprintf("invariant %d", int(i))
	}
	return invariantNames[i]
}

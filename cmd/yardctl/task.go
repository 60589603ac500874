package main

import (
	"bufio"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	yardmasterv1 "github.com/yardmaster/yardmaster/gen/yardmaster/v1"
)

func newTask(a *app) *cobra.Command {
	return newNoun("task", "Submit tasks, follow them, change their course",
		newTaskSubmit(a), newTaskGet(a), newTaskList(a), newTaskAwait(a), newTaskWatch(a), newTaskTimeline(a),
		newTaskCancel(a), newTaskRetry(a), newTaskDelete(a), newTaskExplain(a))
}

// idsFrom reads task ids from the arguments, or with "-" from stdin, as submit prints them.
func (a *app) idsFrom(args []string) ([]uint64, error) {
	if len(args) != 1 || args[0] != "-" {
		return parseIDs(args)
	}
	var words []string
	lines := bufio.NewScanner(a.stdin)
	for lines.Scan() {
		words = append(words, strings.Fields(lines.Text())...)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read ids from stdin: %w", err)
	}
	return parseIDs(words)
}

// printResults prints what was done to each task, and fails if any of it counts as a failure.
func (a *app) printResults(results []*yardmasterv1.TaskResult, done ...yardmasterv1.TaskResult_Code) error {
	failed := 0
	good := map[yardmasterv1.TaskResult_Code]bool{}
	for _, code := range done {
		good[code] = true
	}
	for _, r := range results {
		if !good[r.GetCode()] {
			failed++
		}
	}
	if a.forScripts() {
		if err := printAll(a, results); err != nil {
			return err
		}
	} else if len(results) > 0 {
		t := newTable(a.stdout, 0, "ID", "RESULT")
		for _, r := range results {
			t.row(fmt.Sprint(r.GetTaskId()), resultWords[r.GetCode()])
		}
		if err := t.flush(); err != nil {
			return err
		}
	}
	if failed > 0 {
		return &exitError{code: exitFailed}
	}
	return nil
}

var resultWords = map[yardmasterv1.TaskResult_Code]string{
	yardmasterv1.TaskResult_CODE_DONE:             "done",
	yardmasterv1.TaskResult_CODE_REQUESTED:        "requested: ends when its worker has answered",
	yardmasterv1.TaskResult_CODE_ALREADY_TERMINAL: "had ended already",
	yardmasterv1.TaskResult_CODE_NOT_FOUND:        "not found: no such task, or no longer retained",
	yardmasterv1.TaskResult_CODE_NOT_DEAD:         "not retried: it is no dead letter",
	yardmasterv1.TaskResult_CODE_LIMIT_REACHED:    "not retried: its queue or the cluster is full",
	yardmasterv1.TaskResult_CODE_NOT_TERMINAL:     "not deleted: it hasn't ended; cancel it first",
}

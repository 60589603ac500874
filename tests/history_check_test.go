package tests

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// histVerdict is what the checker says of a history.
type histVerdict struct {
	ops, tasks, illegal, unknown int
	most                         int      // operations of one task that went on at the same time
	files                        []string // of what isn't legal: the operations, and a picture of them
}

const (
	histChecksAtOnce = 2
	histFilesMax     = 10 // partitions of which files are written
)

// checkHistory has the checker look at each task by itself, for at most limit each: who isn't done by then is unknown. What
// is illegal or unknown is written to dir.
func checkHistory(tasks []histTask, limit time.Duration, dir string) (v histVerdict, err error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	turns := make(chan struct{}, histChecksAtOnce)
	v.tasks = len(tasks)
	for i := range tasks {
		h := &tasks[i]
		v.ops += len(h.Ops)
		v.most = max(v.most, atOnce(h.Ops))
		turns <- struct{}{}
		wg.Go(func() {
			defer func() { <-turns }()
			result := porcupine.CheckOperationsTimeout(h.model(), h.operations(), limit)
			if result == porcupine.Ok {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if result == porcupine.Illegal {
				v.illegal++
			} else {
				v.unknown++
			}
			if v.illegal+v.unknown <= histFilesMax {
				files, werr := writeHistory(h, limit, dir)
				v.files, err = append(v.files, files...), errors.Join(err, werr)
			}
		})
	}
	wg.Wait()
	return v, err
}

// writeHistory writes a task's operations in order of time, and the checker's picture of how far they can be explained.
func writeHistory(h *histTask, limit time.Duration, dir string) ([]string, error) {
	slices.SortStableFunc(h.Ops, func(a, b histOp) int { return cmp.Compare(a.Call, b.Call) })
	data, err := json.MarshalIndent(h, "", " ")
	if err != nil {
		return nil, err
	}
	base := filepath.Join(dir, fmt.Sprintf("history-%d", h.Group))
	if err := os.WriteFile(base+".json", data, 0o600); err != nil {
		return nil, err
	}
	model := h.model()
	_, info := porcupine.CheckOperationsVerbose(model, h.operations(), limit)
	if err := porcupine.VisualizePath(model, info, base+".html"); err != nil {
		return nil, err
	}
	return []string{base + ".json", base + ".html"}, nil
}

// atOnce is how many operations of clients and outcomes went on at the same time, at most. Open ones count for their call
// alone, and grants, whose beginning nobody sees, not at all.
func atOnce(ops []histOp) int {
	type edge struct {
		at  int64
		add int
	}
	var edges []edge
	for _, op := range ops {
		if op.Kind != histGrant && op.Answer != histOpen {
			edges = append(edges, edge{op.Call, 1}, edge{op.Return, -1})
		}
	}
	slices.SortFunc(edges, func(a, b edge) int { return cmp.Or(cmp.Compare(a.at, b.at), b.add-a.add) })
	now, most := 0, 0
	for _, e := range edges {
		now += e.add
		most = max(most, now)
	}
	return most
}

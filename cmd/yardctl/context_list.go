package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"
)

// contextLine is a context as it is printed for scripts.
type contextLine struct {
	Name      string   `json:"name"`
	Current   bool     `json:"current"`
	Addresses []string `json:"addresses"`
}

func newContextList(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the named clusters",
		Long:  "List prints the contexts; the current one is marked. " + contextsWhere,
		Example: `  yardctl context list
  yardctl context list -o json | jq -r 'select(.current).addresses[0]'`,
		Args:              argsUpTo(0),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error {
			file, _, err := readContexts()
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return usagef("read the contexts file: %w", err)
			}
			if a.forScripts() {
				return a.printContexts(&file)
			}
			t := newTable(a.stdout, 0, "CURRENT", "NAME", "ADDRESSES")
			for _, name := range file.names() {
				mark := " "
				if name == file.Current {
					mark = "*"
				}
				t.row(mark, name, strings.Join(file.Contexts[name].Addresses, ","))
			}
			return t.flush()
		},
	}
}

func (a *app) printContexts(file *contexts) error {
	for _, name := range file.names() {
		data, err := json.Marshal(contextLine{name, name == file.Current, file.Contexts[name].Addresses})
		if err != nil {
			return fmt.Errorf("print a context: %w", err)
		}
		if err := a.printJSON(data); err != nil {
			return err
		}
	}
	return nil
}

package main

import (
	"bytes"
	"encoding/json"
	"fmt"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// The forms of output.
const (
	outputTable = "table"
	outputJSON  = "json"
	outputYAML  = "yaml"
)

var outputs = []string{outputTable, outputJSON, outputYAML}

// forScripts: the output is JSON or YAML.
func (a *app) forScripts() bool { return a.flags.output != outputTable }

// print writes a message as one line of JSON or one YAML document. Fields that have their default value are written too,
// so that a script finds every field; 64-bit numbers are strings, as the proto's JSON form has them.
func (a *app) print(m proto.Message) error {
	data, err := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(m)
	if err != nil {
		return fmt.Errorf("print %s: %w", m.ProtoReflect().Descriptor().Name(), err)
	}
	return a.printJSON(data)
}

// printJSON writes a JSON value as one line, or as one YAML document.
func (a *app) printJSON(data []byte) error {
	var line bytes.Buffer
	if a.flags.output == outputJSON {
		if err := json.Compact(&line, data); err != nil { // protojson's own spacing changes from build to build
			return fmt.Errorf("print: %w", err)
		}
		line.WriteByte('\n')
	} else if err := toYAML(&line, data); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	_, err := a.stdout.Write(line.Bytes())
	return err
}

// printAll prints messages one after the other.
func printAll[M proto.Message](a *app, messages []M) error {
	for _, m := range messages {
		if err := a.print(m); err != nil {
			return err
		}
	}
	return nil
}

// toYAML rewrites JSON, which is YAML too, in block style. The order of the fields stays.
func toYAML(to *bytes.Buffer, data []byte) error {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return err
	}
	block(&doc)
	to.WriteString("---\n")
	encoder := yaml.NewEncoder(to)
	encoder.SetIndent(2)
	if err := encoder.Encode(&doc); err != nil {
		return err
	}
	return encoder.Close()
}

func block(n *yaml.Node) {
	n.Style = 0
	for _, child := range n.Content {
		block(child)
	}
}

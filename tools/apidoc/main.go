package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

func main() {
	out := flag.String("out", "docs/api", "`directory` to write the pages to")
	pkg := flag.String("package", "yardmaster.v1", "proto `package` to document")
	flag.Parse()
	if err := run(os.Stdin, *out, protoreflect.FullName(*pkg)); err != nil {
		fmt.Fprintln(os.Stderr, "apidoc:", err)
		os.Exit(1)
	}
}

// run writes a page for each file of a package, and an index of all methods.
func run(in io.Reader, out string, pkg protoreflect.FullName) error {
	data, err := io.ReadAll(in)
	if err != nil {
		return fmt.Errorf("read image: %w", err)
	}
	set := &descriptorpb.FileDescriptorSet{}
	if err := proto.Unmarshal(data, set); err != nil {
		return fmt.Errorf("decode image: %w", err)
	}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		return fmt.Errorf("link image: %w", err)
	}
	var pages []*page
	for _, f := range set.GetFile() { // in the image's order, which buf makes stable
		if f.GetPackage() != string(pkg) {
			continue
		}
		d, err := files.FindFileByPath(f.GetName())
		if err != nil {
			return err
		}
		pages = append(pages, newPage(d))
	}
	if len(pages) == 0 {
		return fmt.Errorf("no file of package %s in the image", pkg)
	}
	home := map[protoreflect.FullName]string{} // message or enum → its page
	for _, p := range pages {
		p.claim(home)
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	for _, p := range pages {
		if err := write(out, p.name, p.render(home)); err != nil {
			return err
		}
	}
	return write(out, "README.md", index(pages))
}

func write(dir, name, text string) error {
	return os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644)
}

// index lists all services and methods.
func index(pages []*page) string {
	var b strings.Builder
	b.WriteString(header)
	b.WriteString("# The API\n\n")
	b.WriteString(firstParagraphs(pages))
	for _, p := range pages {
		services := p.file.Services()
		for i := range services.Len() {
			s := services.Get(i)
			fmt.Fprintf(&b, "## [%s](%s#%s)\n\n%s\n\n", s.Name(), p.name, anchor(string(s.Name())), p.comment(s))
			b.WriteString("| method | |\n| --- | --- |\n")
			for j := range s.Methods().Len() {
				m := s.Methods().Get(j)
				first, _, _ := strings.Cut(oneLine(p.comment(m)), ". ")
				fmt.Fprintf(&b, "| [%s](%s#%s)%s | %s |\n", m.Name(), p.name, anchor(methodTitle(m)), streams(m), strings.TrimSuffix(first, ".")+".")
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

const header = "<!-- Written by `make docs` from the comments in proto/. Change those, not this file. -->\n\n"

func firstParagraphs(pages []*page) string {
	return "Every message, field and method of `yardmaster.v1`, as the proto files in [`proto/`](../../proto/yardmaster/v1) say it. " +
		"`grpcurl` and generated stubs of any language see the same.\n\n" +
		"Errors carry `google.rpc` details: `BadRequest` with each field at fault beside `INVALID_ARGUMENT`, `RetryInfo` beside " +
		"`RESOURCE_EXHAUSTED` and `UNAVAILABLE`, and always an `ErrorInfo` (domain `yardmaster`) whose reason is fit for programs. " +
		"[docs/errors.md](../errors.md) lists what users meet.\n\n"
}

package main

import (
	"fmt"
	"path"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// page is the manual of one proto file.
type page struct {
	file protoreflect.FileDescriptor
	name string // of the page's file
	b    strings.Builder
}

func newPage(f protoreflect.FileDescriptor) *page {
	base := strings.TrimSuffix(path.Base(f.Path()), ".proto")
	return &page{file: f, name: base + ".md"}
}

// claim notes that the page's messages and enums are found here.
func (p *page) claim(home map[protoreflect.FullName]string) {
	var nested func(ms protoreflect.MessageDescriptors, es protoreflect.EnumDescriptors)
	nested = func(ms protoreflect.MessageDescriptors, es protoreflect.EnumDescriptors) {
		for i := range es.Len() {
			home[es.Get(i).FullName()] = p.name
		}
		for i := range ms.Len() {
			home[ms.Get(i).FullName()] = p.name
			nested(ms.Get(i).Messages(), ms.Get(i).Enums())
		}
	}
	nested(p.file.Messages(), p.file.Enums())
}

// comment returns the comment that stands before a declaration, its lines joined to paragraphs.
func (p *page) comment(d protoreflect.Descriptor) string {
	text := p.file.SourceLocations().ByDescriptor(d).LeadingComments
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(lines, "\n")
}

func (p *page) render(home map[protoreflect.FullName]string) string {
	p.b.Reset()
	p.b.WriteString(header)
	fmt.Fprintf(&p.b, "# %s\n\n", p.file.Path())
	for i := range p.file.Services().Len() {
		p.service(p.file.Services().Get(i), home)
	}
	p.b.WriteString("# Messages\n\n")
	for i := range p.file.Messages().Len() {
		p.message(p.file.Messages().Get(i), home)
	}
	for i := range p.file.Enums().Len() {
		p.enum(p.file.Enums().Get(i))
	}
	return strings.TrimRight(p.b.String(), "\n") + "\n"
}

func (p *page) service(s protoreflect.ServiceDescriptor, home map[protoreflect.FullName]string) {
	fmt.Fprintf(&p.b, "## %s\n\n%s\n\n", s.Name(), p.comment(s))
	for i := range s.Methods().Len() {
		m := s.Methods().Get(i)
		fmt.Fprintf(&p.b, "### %s\n\n", methodTitle(m))
		fmt.Fprintf(&p.b, "%s → %s%s\n\n%s\n\n", p.link(m.Input(), home), p.link(m.Output(), home), streams(m), p.comment(m))
	}
}

func (p *page) message(m protoreflect.MessageDescriptor, home map[protoreflect.FullName]string) {
	if m.IsMapEntry() {
		return
	}
	fmt.Fprintf(&p.b, "## %s\n\n%s\n\n", title(m), p.comment(m))
	if m.Fields().Len() > 0 {
		p.b.WriteString("| field | type | |\n| --- | --- | --- |\n")
	}
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		note := oneLine(p.comment(f))
		if o := f.ContainingOneof(); o != nil && !o.IsSynthetic() {
			note = "(one of *" + string(o.Name()) + "*) " + note
		}
		fmt.Fprintf(&p.b, "| `%s` | %s | %s |\n", f.Name(), p.fieldType(f, home), note)
	}
	p.b.WriteString("\n")
	for i := range m.Messages().Len() {
		p.message(m.Messages().Get(i), home)
	}
	for i := range m.Enums().Len() {
		p.enum(m.Enums().Get(i))
	}
}

func (p *page) enum(e protoreflect.EnumDescriptor) {
	fmt.Fprintf(&p.b, "## %s\n\n%s\n\n| value | number | |\n| --- | --- | --- |\n", title(e), p.comment(e))
	for i := range e.Values().Len() {
		v := e.Values().Get(i)
		fmt.Fprintf(&p.b, "| `%s` | %d | %s |\n", v.Name(), v.Number(), oneLine(p.comment(v)))
	}
	p.b.WriteString("\n")
}

func (p *page) fieldType(f protoreflect.FieldDescriptor, home map[protoreflect.FullName]string) string {
	if f.IsMap() {
		return "map of " + p.single(f.MapKey(), home) + " to " + p.single(f.MapValue(), home)
	}
	t := p.single(f, home)
	switch {
	case f.IsList():
		return "repeated " + t
	case f.HasOptionalKeyword():
		return "optional " + t
	}
	return t
}

func (p *page) single(f protoreflect.FieldDescriptor, home map[protoreflect.FullName]string) string {
	switch {
	case f.Message() != nil:
		return p.link(f.Message(), home)
	case f.Enum() != nil:
		return p.link(f.Enum(), home)
	}
	return f.Kind().String()
}

// link names a message or enum, with a link if it is one of this manual's.
func (p *page) link(d protoreflect.Descriptor, home map[protoreflect.FullName]string) string {
	where, ours := home[d.FullName()]
	if !ours {
		return "`" + string(d.FullName()) + "`"
	}
	if where == p.name {
		where = ""
	}
	return fmt.Sprintf("[%s](%s#%s)", title(d), where, anchor(title(d)))
}

// title is a declaration's name, with those of the messages that it is nested in.
func title(d protoreflect.Descriptor) string {
	if outer, ok := d.Parent().(protoreflect.MessageDescriptor); ok {
		return title(outer) + "." + string(d.Name())
	}
	return string(d.Name())
}

func methodTitle(m protoreflect.MethodDescriptor) string {
	return string(m.Parent().Name()) + "." + string(m.Name())
}

func streams(m protoreflect.MethodDescriptor) string {
	switch {
	case m.IsStreamingClient() && m.IsStreamingServer():
		return " (both stream)"
	case m.IsStreamingClient():
		return " (client streams)"
	case m.IsStreamingServer():
		return " (server streams)"
	}
	return ""
}

// anchor is the fragment by which GitHub finds a heading.
func anchor(heading string) string {
	return strings.ReplaceAll(strings.ToLower(heading), ".", "")
}

// oneLine fits a comment into a cell of a table.
func oneLine(s string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(s), " "), "|", `\|`)
}

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
)

// image is a small file with a service, a nested enum, a map, a oneof and comments.
func image() *descriptorpb.FileDescriptorSet {
	str := proto.String
	field := func(name string, number int32, kind descriptorpb.FieldDescriptorProto_Type, typeName string) *descriptorpb.FieldDescriptorProto {
		f := &descriptorpb.FieldDescriptorProto{
			Name: str(name), Number: proto.Int32(number), Type: kind.Enum(),
			Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
		}
		if typeName != "" {
			f.TypeName = str(typeName)
		}
		return f
	}
	of := field("choice", 3, descriptorpb.FieldDescriptorProto_TYPE_STRING, "")
	of.OneofIndex = proto.Int32(0)
	return &descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{{
		Name: str("x/v1/thing.proto"), Package: str("x.v1"), Syntax: str("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{{
			Name: str("Thing"),
			Field: []*descriptorpb.FieldDescriptorProto{
				field("size", 1, descriptorpb.FieldDescriptorProto_TYPE_UINT32, ""),
				field("colour", 2, descriptorpb.FieldDescriptorProto_TYPE_ENUM, ".x.v1.Thing.Colour"), of,
			},
			OneofDecl: []*descriptorpb.OneofDescriptorProto{{Name: str("pick")}},
			EnumType: []*descriptorpb.EnumDescriptorProto{{
				Name: str("Colour"), Value: []*descriptorpb.EnumValueDescriptorProto{{Name: str("COLOUR_RED"), Number: proto.Int32(0)}},
			}},
		}},
		Service: []*descriptorpb.ServiceDescriptorProto{{
			Name: str("ThingService"),
			Method: []*descriptorpb.MethodDescriptorProto{{
				Name: str("Follow"), InputType: str(".x.v1.Thing"), OutputType: str(".x.v1.Thing"), ServerStreaming: proto.Bool(true),
			}},
		}},
		SourceCodeInfo: &descriptorpb.SourceCodeInfo{Location: []*descriptorpb.SourceCodeInfo_Location{
			{Path: []int32{4, 0}, Span: []int32{1, 0, 1}, LeadingComments: str(" Thing is a thing.\n In two lines.\n")},
			{Path: []int32{4, 0, 2, 0}, Span: []int32{2, 0, 1}, LeadingComments: str(" How large: 1 | 2.\n")},
			{Path: []int32{6, 0, 2, 0}, Span: []int32{3, 0, 1}, LeadingComments: str(" Follow follows. Errors: none.\n")},
		}},
	}}}
}

func TestPages(t *testing.T) {
	data, err := proto.Marshal(image())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := run(bytes.NewReader(data), dir, "x.v1"); err != nil {
		t.Fatal(err)
	}
	for file, wants := range map[string][]string{
		"README.md": {"| [Follow](thing.md#thingservicefollow) (server streams) | Follow follows. |"},
		"thing.md": {
			"### ThingService.Follow\n\n[Thing](#thing) → [Thing](#thing) (server streams)\n\nFollow follows. Errors: none.\n",
			"## Thing\n\nThing is a thing.\nIn two lines.\n", `| ` + "`size`" + ` | uint32 | How large: 1 \| 2. |`,
			"| `colour` | [Thing.Colour](#thingcolour) |", "(one of *pick*)", "## Thing.Colour\n", "| `COLOUR_RED` | 0 |",
		},
	} {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range wants {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s lacks %q:\n%s", file, want, text)
			}
		}
	}
}

func TestRefuses(t *testing.T) {
	if err := run(strings.NewReader("not an image"), t.TempDir(), "x.v1"); err == nil {
		t.Error("garbage is taken for an image")
	}
	data, _ := proto.Marshal(image())
	if err := run(bytes.NewReader(data), t.TempDir(), "y.v1"); err == nil || !strings.Contains(err.Error(), "y.v1") {
		t.Errorf("a missing package: %v", err)
	}
}

package arch

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// Doc is one Markdown file: its lines, with code blanked out, and the anchors that its headings make.
type Doc struct {
	// Path is relative to the root of the repository, with slashes.
	Path string

	lines   []string
	anchors map[string]bool
}

var (
	fence    = regexp.MustCompile("^ {0,3}(?:```+|~~~+)")
	codeSpan = regexp.MustCompile("(`+)[^`]+?(`+)")
	heading  = regexp.MustCompile(`^ {0,3}#{1,6} +(.*?)(?: +#+)? *$`)
	anchor   = regexp.MustCompile(`<[a-z]+ (?:id|name)="([^"]+)"`)
	linkText = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)

	// links are where a target may stand: inline, as a definition, and in HTML.
	links = []*regexp.Regexp{
		regexp.MustCompile(`\]\(<?([^)\s>]+)>?(?: +"[^"]*")?\)`),
		regexp.MustCompile(`^ {0,3}\[[^\]]+\]: *<?(\S+?)>?(?: |$)`),
		regexp.MustCompile(`<[a-z]+ [^>]*(?:src|href)="([^"]+)"`),
	}
	schemed = regexp.MustCompile(`^[a-z][a-z0-9+.-]*:|^//`)
)

// ParseDoc reads a Markdown file. What stands in code is neither a link nor a heading.
func ParseDoc(name string, src []byte) *Doc {
	d := &Doc{Path: name, anchors: map[string]bool{}}
	open := ""
	for line := range strings.Lines(string(src)) {
		line = strings.TrimRight(line, "\r\n")
		mark := strings.TrimSpace(fence.FindString(line))
		switch {
		case open == "" && mark != "":
			open = mark
		case open != "":
			if strings.HasPrefix(mark, open) && strings.TrimSpace(line) == mark {
				open = ""
			}
		default:
			if h := heading.FindStringSubmatch(line); h != nil {
				d.addAnchor(slug(h[1]))
			}
			for _, a := range anchor.FindAllStringSubmatch(line, -1) {
				d.anchors[a[1]] = true
			}
			line = codeSpan.ReplaceAllString(line, "code")
			d.lines = append(d.lines, line)
			continue
		}
		d.lines = append(d.lines, "")
	}
	return d
}

// addAnchor numbers headings that are alike, as GitHub does.
func (d *Doc) addAnchor(s string) {
	name := s
	for n := 1; d.anchors[name]; n++ {
		name = s + "-" + strconv.Itoa(n)
	}
	d.anchors[name] = true
}

// slug is the anchor that GitHub makes of a heading: lower case, blanks turned into hyphens, of punctuation only hyphens and
// underscores.
func slug(text string) string {
	text = linkText.ReplaceAllString(text, "$1")
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r):
			return unicode.ToLower(r)
		}
		return -1
	}, strings.ToLower(strings.TrimSpace(text)))
}

// LoadDocs reads every Markdown file of a tree but those in directories that the go command ignores.
func LoadDocs(tree fs.FS) (map[string]*Doc, error) {
	docs := map[string]*Doc{}
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // removed while the tree was walked
		case err != nil:
			return err
		case entry.IsDir() && name != "." && ignoredDir(entry.Name()):
			return fs.SkipDir
		case entry.IsDir() || path.Ext(name) != ".md":
			return nil
		}
		src, err := fs.ReadFile(tree, name)
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		docs[name] = ParseDoc(name, src)
		return nil
	})
	return docs, err
}

// BrokenLinks finds the relative links of a file that lead nowhere: a file that isn't in the tree, or a heading that a
// Markdown file doesn't have. Links with a scheme are somebody else's.
func BrokenLinks(tree fs.FS, docs map[string]*Doc, d *Doc) []Violation {
	var bad []Violation
	for i, line := range d.lines {
		for _, form := range links {
			for _, m := range form.FindAllStringSubmatch(line, -1) {
				if what, cure := brokenLink(tree, docs, d, m[1]); what != "" {
					bad = append(bad, Violation{d.Path, i + 1, what, cure})
				}
			}
		}
	}
	return bad
}

func brokenLink(tree fs.FS, docs map[string]*Doc, d *Doc, target string) (what, cure string) {
	if schemed.MatchString(target) {
		return "", ""
	}
	file, anchor, _ := strings.Cut(target, "#")
	name := d.Path
	switch {
	case strings.HasPrefix(file, "/"):
		return "the link " + target + " begins at the root of whatever shows it", "Write it relative to this file."
	case file != "":
		name = path.Join(path.Dir(d.Path), file)
	}
	if !fs.ValidPath(name) {
		return "the link " + target + " leaves the repository", "Give the whole address, or link to a file of the repository."
	}
	if _, err := fs.Stat(tree, name); err != nil {
		return "the link " + target + " leads to " + name + ", which isn't there", "Give it the file's present name, or drop it."
	}
	to := docs[name]
	if anchor == "" || to == nil || to.anchors[anchor] {
		return "", ""
	}
	return "the link " + target + " leads to a heading that " + name + " doesn't have",
		"Write the heading's anchor: its words in lower case with hyphens between them, without punctuation."
}

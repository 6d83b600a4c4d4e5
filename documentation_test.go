package main

import (
	"cmp"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/alecthomas/kong"
)

var update = flag.Bool("update", false, "write what is generated into documents, instead of comparing it")

const configurationFile = "docs/configuration.md"

const configurationIntro = `# Configuration

<!-- Generated from the command line's own definitions: make generate. Do not edit. -->

Every option is a flag and an environment variable. The flag wins. Both have the same name:
` + "`--db-read-conns` is `DB_READ_CONNS`" + `. The variable of an option that only ` + "`check`, `export`," + `
` + "`import` or `bench`" + ` takes begins with the command: ` + "`bench --callers` is `BENCH_CALLERS`" + `.
` + "`internaltransfers COMMAND --help`" + ` prints the options of one command. ` + "`make run`" + ` also reads
[` + "`local.env`" + `](../local.env); a variable that is set already wins over it.

- A duration is a number with a unit: ` + "`500ms`, `30s`, `10m`" + `. A list is separated by commas.
  A switch is ` + "`true`, `1`, `yes`, `false`, `0` or `no`" + `; the flag alone means yes.
- Options marked *secret* can be read from a file instead: ` + "`DATABASE_URL_FILE`" + ` names a file
  whose content is the value of ` + "`DATABASE_URL`" + `. It is an error to set both.
- A wrong option ends the program with exit status 2. One line on standard error names the flag and
  the variable, and what is wrong with the value.
- ` + "`check`" + ` exits with 0 when the ledger is sound, with 1 when it is broken, and with 2 when it
  could not judge the ledger. All other failures have exit status 1.
`

// documentedOption is a row of docs/configuration.md.
type documentedOption struct {
	flag, variable, initial, help string
	commands                      []string
}

// documentedOptions returns every option once, with the commands that take it, in the order in
// which the commands define them. Options of several commands come first.
func documentedOptions(t *testing.T) []*documentedOption {
	t.Helper()
	parser, err := kong.New(&cli{}, mappers()...)
	if err != nil {
		t.Fatal(err)
	}
	var options []*documentedOption
	for _, command := range parser.Model.Leaves(false) {
		for _, f := range command.Flags {
			o := documentOption(f)
			same := slices.IndexFunc(options, func(other *documentedOption) bool {
				return other.variable == o.variable && other.flag == o.flag && other.help == o.help
			})
			if same < 0 {
				same, options = len(options), append(options, &o)
			}
			options[same].commands = append(options[same].commands, command.Name)
		}
	}
	slices.SortStableFunc(options, func(a, b *documentedOption) int {
		return -cmp.Compare(min(len(a.commands), 2), min(len(b.commands), 2))
	})
	return options
}

func documentOption(f *kong.Flag) documentedOption {
	o := documentedOption{flag: f.Name, variable: f.Envs[0], initial: "none", help: f.Help}
	switch {
	case f.HasDefault:
		o.initial = "`" + f.Default + "`"
	case f.IsBool():
		o.initial = "`false`"
	case f.Target.CanInt() || f.Target.CanFloat():
		o.initial = "`0`"
	}
	for _, said := range []string{f.Default, "none", "no", "yes", "off", "0"} { // in the column
		o.help = strings.TrimSuffix(o.help, " Default: "+said+".")
	}
	o.help = strings.NewReplacer("|", `\|`, "*", `\*`).Replace(o.help)
	if f.Tag.Has("secret") {
		o.help += " *Secret.*"
	}
	if f.Tag.Negatable != "" {
		o.help += " `--no-" + f.Name + "` switches it off."
	}
	return o
}

// TestConfigurationIsDocumented compares docs/configuration.md with the options that the program
// has.
func TestConfigurationIsDocumented(t *testing.T) {
	var text strings.Builder
	text.WriteString(configurationIntro)
	section := ""
	for _, o := range documentedOptions(t) {
		title, commands := "Several commands", " "+strings.Join(o.commands, ", ")+" |"
		if len(o.commands) == 1 {
			title, commands = "`"+o.commands[0]+"`", ""
		}
		if title != section {
			section = title
			head, rule := "", ""
			if commands != "" {
				head, rule = " commands |", "---|"
			}
			fmt.Fprintf(&text, "\n## %s\n\n| flag | variable | default |%s |\n|---|---|---|%s---|\n", title, head, rule)
		}
		fmt.Fprintf(&text, "| `--%s` | `%s` | %s |%s %s |\n", o.flag, o.variable, o.initial, commands, o.help)
	}
	want := text.String()
	if *update {
		if err := os.WriteFile(configurationFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(configurationFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the program's options are: run make generate", configurationFile)
	}
}

const (
	contributingFile = "CONTRIBUTING.md"
	packagesBegin    = "<!-- Generated: make generate. -->\n```text\n"
	packagesEnd      = "```\n<!-- End of what is generated. -->"
)

// TestPackagesAreDocumented compares the packages in CONTRIBUTING.md with the imports.
func TestPackagesAreDocumented(t *testing.T) {
	imports := map[string][]string{}
	for _, f := range goFiles(t) {
		if f.test {
			continue
		}
		name := f.dir
		if name == "." {
			name = "main"
		}
		if _, known := imports[name]; !known {
			imports[name] = nil // it has a line, also without imports
		}
		for _, spec := range f.ast.Imports {
			if to, ours := strings.CutPrefix(strings.Trim(spec.Path.Value, `"`), module); ours && !slices.Contains(imports[name], to) {
				imports[name] = append(imports[name], to)
			}
		}
	}
	var depth func(name string) int // of what a package imports
	depth = func(name string) (n int) {
		for _, to := range imports[name] {
			n = max(n, depth(to)+1)
		}
		return n
	}
	names := slices.SortedFunc(maps.Keys(imports), func(a, b string) int {
		return cmp.Or(-cmp.Compare(depth(a), depth(b)), cmp.Compare(a, b))
	})
	var graph strings.Builder
	for _, name := range names {
		slices.SortFunc(imports[name], func(a, b string) int {
			return cmp.Or(-cmp.Compare(depth(a), depth(b)), cmp.Compare(a, b))
		})
		line := fmt.Sprintf("%-19s ->", name)
		if len(imports[name]) == 0 {
			line += " (none of ours)"
		}
		for _, to := range imports[name] {
			if utf8.RuneCountInString(line+" "+to) > proseColumnsMax {
				fmt.Fprintln(&graph, line)
				line = strings.Repeat(" ", 22)
			}
			line += " " + to
		}
		fmt.Fprintln(&graph, line)
	}
	content, err := os.ReadFile(contributingFile)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(content), packagesBegin)
	documented, after, ended := strings.Cut(rest, packagesEnd)
	if !found || !ended {
		t.Fatalf("%s has no place for the packages", contributingFile)
	}
	if *update {
		documented = graph.String()
		if err := os.WriteFile(contributingFile, []byte(before+packagesBegin+documented+packagesEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if documented != graph.String() {
		t.Errorf("%s does not show what imports what: run make generate", contributingFile)
	}
}

// proseColumnsMax bounds the width of a line of prose in Markdown. Tables and code may be wider.
const proseColumnsMax = 100

// A document is a Markdown file of the repository.
type document struct {
	path  string
	lines []string // without code blocks: their lines are empty
}

// documents reads every Markdown file but those of dependencies.
func documents(t *testing.T) []document {
	t.Helper()
	var all []document
	err := fs.WalkDir(os.DirFS("."), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := d.Name()
		if d.IsDir() && (base == "node_modules" || base == "third_party" || base == "bin" ||
			(strings.HasPrefix(base, ".") && base != "." && base != ".github")) {
			return fs.SkipDir
		}
		if d.IsDir() || filepath.Ext(name) != ".md" {
			return nil
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		lines := strings.Split(string(content), "\n")
		fenced := false
		for i, line := range lines {
			fence := strings.HasPrefix(strings.TrimSpace(line), "```")
			if fenced != fence || fence || strings.HasPrefix(line, "    ") {
				lines[i] = ""
			}
			fenced = fenced != fence
		}
		all = append(all, document{name, lines})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 10 {
		t.Fatalf("only %d documents found: is this the root of the repository?", len(all))
	}
	return all
}

// TestProseWidth: prose is read in editors and in reviews, side by side.
func TestProseWidth(t *testing.T) {
	for _, d := range documents(t) {
		for i, line := range d.lines {
			if n := utf8.RuneCountInString(line); n > proseColumnsMax && !strings.HasPrefix(line, "|") {
				t.Errorf("%s:%d has %d columns, more than %d", d.path, i+1, n, proseColumnsMax)
			}
		}
	}
}

var (
	markdownLink = regexp.MustCompile(`\]\(([^()\s]+)\)|(?:src|href)="([^"]+)"`)
	inlineCode   = regexp.MustCompile("`[^`]*`")
)

// anchors returns the names that a document's headings have on GitHub.
func (d document) anchors() []string {
	var names []string
	for _, line := range d.lines {
		title, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " ")
		if !ok || !strings.HasPrefix(line, "#") {
			continue
		}
		names = append(names, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, title))
	}
	return names
}

// TestLinks: a relative link names a file or directory of the repository, and a heading if it names
// one.
func TestLinks(t *testing.T) {
	all := documents(t)
	for _, d := range all {
		// A link may have its text on one line and its target on the next.
		text := strings.Join(d.lines, "\n")
		for _, match := range markdownLink.FindAllStringSubmatch(inlineCode.ReplaceAllString(text, "`"), -1) {
			target, anchor, _ := strings.Cut(cmp.Or(match[1], match[2]), "#")
			if strings.Contains(target, ":") {
				continue // another site
			}
			file := path.Join(path.Dir(d.path), target)
			if target == "" {
				file = d.path
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s: no such file for the link %s", d.path, match[0])
				continue
			}
			to := slices.IndexFunc(all, func(other document) bool { return other.path == file })
			if anchor != "" && (to < 0 || !slices.Contains(all[to].anchors(), anchor)) {
				t.Errorf("%s: no such heading for the link %s", d.path, match[0])
			}
		}
	}
}

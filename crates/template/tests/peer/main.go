// Fills in templates with Go's own text/template: a JSON list of texts in, a JSON list of what they give out. The data and
// the functions are those of tests/template/data.rs.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"sort"
	"strings"
	"text/template"
	"time"
	"unicode/utf8"
)

type Record struct {
	Name  string
	Count int
	Tags  []string
}

type Pairs map[string]string

func (p Pairs) Names() []string {
	var names []string
	for name := range p {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

func (p Pairs) Join(separator string) string { return strings.Join(p.Names(), separator) }

type Answer struct {
	OK   bool
	Text string
	// Whether it is UTF-8, without which it can't be told in JSON.
	Whole bool
}

func data() map[string]any {
	return map[string]any{
		"nothing": nil, "yes": true, "no": false, "n": 3, "neg": -7, "zero": 0, "f": 2.5, "big": 1e9, "s": "hello",
		"uni": "Zoë 🚀", "html": "<a href='x'>\"&\x00", "empty": "", "space": "a b\tc\n",
		"list":   []any{1, "two", 3.5, true, []any{"in", 7}},
		"words":  []string{"alpha", "beta", "gamma"},
		"none":   []string{},
		"labels": map[string]string{"job": "api", "instance": "a:9090", "le": "0.5"},
		"nested": map[string]any{"a": map[string]any{"b": "deep", "c": nil}},
		"rec":    Record{"thing", 2, []string{"x", "y"}},
		"recs":   []Record{{"one", 1, nil}, {"two", 2, []string{"z"}}},
		"at":     time.UnixMilli(1234567890120).UTC(), "early": time.UnixMilli(-62135596800000).UTC(),
		"pairs": Pairs{"b": "2", "a": "1"},
	}
}

func fill(text string) Answer {
	functions := template.FuncMap{
		"up":      strings.ToUpper,
		"counter": func() any { return func(values ...any) (any, error) { return len(values), nil } },
		"fail":    func(values ...any) (string, error) { return "", errors.New("failed") },
	}
	parsed, err := template.New("main").Option("missingkey=zero").Funcs(functions).Parse(text)
	if err != nil {
		return Answer{Text: err.Error(), Whole: true}
	}
	var out bytes.Buffer
	if err := parsed.Execute(&out, data()); err != nil {
		return Answer{Text: err.Error(), Whole: true}
	}
	return Answer{OK: true, Text: out.String(), Whole: utf8.ValidString(out.String())}
}

func main() {
	var texts []string
	if err := json.NewDecoder(os.Stdin).Decode(&texts); err != nil {
		panic(err)
	}
	answers := []Answer{}
	for _, text := range texts {
		answers = append(answers, fill(text))
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(answers); err != nil {
		panic(err)
	}
}

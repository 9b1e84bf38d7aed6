package kusttest_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// compared is one line of the report.
type compared struct {
	Test    string `json:"test"`
	Order   string `json:"order"`
	Outcome string `json:"outcome"`
	Plugins bool   `json:"plugins"`
	Theirs  string `json:"theirs"`
	Ours    string `json:"ours"`
}

// compare renders what a test renders once more, here and with the program that PROGRADE names, in both orders of objects,
// and writes down how the two stand to each other.
func (th Harness) compare(path string, options krusty.Options) {
	th.t.Helper()
	for _, order := range []krusty.ReorderOption{krusty.ReorderOptionLegacy, krusty.ReorderOptionNone} {
		options.Reorder = order
		one := compared{Test: th.t.Name(), Order: string(order)}
		one.Plugins = options.PluginConfig != nil && options.PluginConfig.PluginRestrictions == types.PluginRestrictionsNone
		var refused error
		one.Theirs, refused = theirs(th.fSys, path, options)
		ours, err := th.ours(path, options)
		one.Ours = ours
		switch {
		case refused != nil && err != nil:
			one.Outcome = "both refuse"
		case refused != nil:
			one.Outcome = "theirs refuses"
		case err != nil:
			one.Outcome = "ours refuses"
		case ours == one.Theirs:
			one.Outcome = "same"
		default:
			one.Outcome = "differs"
		}
		one.write(th.t)
	}
}

func theirs(fSys filesys.FileSystem, path string, options krusty.Options) (string, error) {
	made, err := krusty.MakeKustomizer(&options).Run(fSys, path)
	if err != nil {
		return err.Error(), err
	}
	text, err := made.AsYaml()
	return string(text), err
}

func (th Harness) ours(path string, options krusty.Options) (string, error) {
	th.t.Helper()
	// Some tests have their files on disk already.
	if !th.fSys.Exists("/proc") {
		path = filepath.Join(th.onDisk(), path)
	}
	arguments := []string{"render", path, "--reorder", string(options.Reorder)}
	if options.LoadRestrictions == types.LoadRestrictionsNone {
		arguments = append(arguments, "--load-restrictor", "LoadRestrictionsNone")
	}
	if options.AddManagedbyLabel {
		arguments = append(arguments, "--enable-managedby-label")
	}
	if options.PluginConfig != nil && options.PluginConfig.HelmConfig.Enabled {
		arguments = append(arguments, "--helm")
	}
	command := exec.Command(os.Getenv("PROGRADE"), arguments...)
	var out, said bytes.Buffer
	command.Stdout, command.Stderr = &out, &said
	if err := command.Run(); err != nil {
		return said.String(), err
	}
	return out.String(), nil
}

// onDisk writes a file system in memory into a directory, which lies where `..` of the outermost one leads nowhere else.
func (th Harness) onDisk() string {
	th.t.Helper()
	dir := th.t.TempDir()
	err := th.fSys.Walk("/", func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		content, err := th.fSys.ReadFile(path)
		if err != nil {
			return err
		}
		target := filepath.Join(dir, strings.TrimPrefix(path, "/"))
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		return os.WriteFile(target, content, 0o644)
	})
	if err != nil {
		th.t.Fatal(err)
	}
	return dir
}

func (one compared) write(t *testing.T) {
	t.Helper()
	line, err := json.Marshal(one)
	if err != nil {
		t.Fatal(err)
	}
	report, err := os.OpenFile(os.Getenv("REPORT"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer report.Close()
	if _, err := report.Write(append(line, '\n')); err != nil {
		t.Fatal(err)
	}
}

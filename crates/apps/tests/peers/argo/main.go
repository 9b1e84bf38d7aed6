// Renders ApplicationSets with Argo CD's own generators, for the tests that compare with them.
//
// Each argument is a folder with `appset.yaml`, optionally `secrets.yaml` (clusters), and optionally `repo`, a Git
// working tree that every repository of the ApplicationSet stands for. One line of JSON is printed for each.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"

	"github.com/argoproj/argo-cd/v3/applicationset/controllers/template"
	"github.com/argoproj/argo-cd/v3/applicationset/generators"
	"github.com/argoproj/argo-cd/v3/applicationset/utils"
	"github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	log "github.com/sirupsen/logrus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	kubernetes "k8s.io/client-go/kubernetes/fake"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/yaml"
)

// A repository on the disk, listed as Argo CD's repository server lists it.
type disk struct{ root string }

func (d disk) GetFiles(_ context.Context, _, _, _, pattern string, _, _ bool) (map[string][]byte, error) {
	command := exec.Command("git", "ls-files", "--full-name", "-z", "--", pattern)
	command.Dir = d.root
	out, err := command.Output()
	if err != nil {
		return nil, err
	}
	found := map[string][]byte{}
	for _, name := range strings.Split(string(out), "\x00") {
		if name == "" {
			continue
		}
		content, err := os.ReadFile(filepath.Join(d.root, name))
		if err != nil {
			return nil, err
		}
		found[name] = content
	}
	return found, nil
}

func (d disk) GetDirectories(_ context.Context, _, _, _ string, _, _ bool) ([]string, error) {
	var found []string
	err := filepath.WalkDir(d.root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		if path != d.root && strings.HasPrefix(entry.Name(), ".") {
			return filepath.SkipDir
		}
		relative, err := filepath.Rel(d.root, path)
		if relative != "." {
			found = append(found, relative)
		}
		return err
	})
	return found, err
}

type answer struct {
	Applications []v1alpha1.Application `json:"applications"`
	Error        string                 `json:"error,omitempty"`
}

func render(folder string) (answer, error) {
	text, err := os.ReadFile(filepath.Join(folder, "appset.yaml"))
	if err != nil {
		return answer{}, err
	}
	var set v1alpha1.ApplicationSet
	if err := yaml.UnmarshalStrict(text, &set); err != nil {
		return answer{Error: err.Error()}, nil
	}
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return answer{}, err
	}
	if err := corev1.AddToScheme(scheme); err != nil {
		return answer{}, err
	}
	objects, secrets := []client.Object{}, []runtime.Object{}
	if project := set.Spec.Template.Spec.Project; project != "" && !strings.Contains(project, "{{") {
		objects = append(objects, &v1alpha1.AppProject{ObjectMeta: metav1.ObjectMeta{Name: project, Namespace: "argocd"}})
	}
	if text, err := os.ReadFile(filepath.Join(folder, "secrets.yaml")); err == nil {
		for _, document := range bytes.Split(text, []byte("\n---\n")) {
			var secret corev1.Secret
			if err := yaml.Unmarshal(document, &secret); err != nil {
				return answer{}, err
			}
			if secret.Data == nil {
				secret.Data = map[string][]byte{}
			}
			for key, value := range secret.StringData {
				secret.Data[key] = []byte(value)
			}
			secret.Namespace = "argocd"
			objects = append(objects, &secret)
			secrets = append(secrets, &secret)
		}
	}
	client := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()
	root, err := filepath.EvalSymlinks(filepath.Join(folder, "repo"))
	if err != nil {
		root = filepath.Join(folder, "repo")
	}
	repos := disk{root}
	terminal := map[string]generators.Generator{
		"List":     generators.NewListGenerator(),
		"Clusters": generators.NewClusterGenerator(context.Background(), client, kubernetes.NewSimpleClientset(secrets...), "argocd"),
		"Git":      generators.NewGitGenerator(repos, "argocd"),
	}
	nested := map[string]generators.Generator{
		"Matrix": generators.NewMatrixGenerator(terminal),
		"Merge":  generators.NewMergeGenerator(terminal),
	}
	for name, generator := range terminal {
		nested[name] = generator
	}
	top := map[string]generators.Generator{
		"Matrix": generators.NewMatrixGenerator(nested),
		"Merge":  generators.NewMergeGenerator(nested),
	}
	for name, generator := range terminal {
		top[name] = generator
	}
	found, _, err := template.GenerateApplications(log.NewEntry(log.StandardLogger()), set, top, &utils.Render{}, client)
	result := answer{Applications: found}
	if err != nil {
		result.Error = err.Error()
	}
	sort.SliceStable(result.Applications, func(i, j int) bool {
		return result.Applications[i].Name < result.Applications[j].Name
	})
	return result, nil
}

func main() {
	log.SetLevel(log.PanicLevel)
	for _, folder := range os.Args[1:] {
		result, err := render(folder)
		if err != nil {
			fmt.Fprintln(os.Stderr, folder, err)
			os.Exit(1)
		}
		line, err := json.Marshal(result)
		if err != nil {
			fmt.Fprintln(os.Stderr, folder, err)
			os.Exit(1)
		}
		fmt.Println(string(line))
	}
}

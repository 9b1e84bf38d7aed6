//! Kustomizations made from a grammar: a base, perhaps a component, and an overlay, each with fields drawn by a seed.
//! The same seed makes the same case.

use std::fmt::Write as _;

use prograde_kustomize::FileTree;

use crate::fixture;

/// Draws by a seed (Knuth's MMIX constants).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5851_F42D)
    }

    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    pub(crate) fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }

    pub(crate) fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[usize::try_from(self.roll(from.len() as u64)).unwrap()]
    }
}

const VALUES: [&str; 14] = [
    "x",
    "'1'",
    "'true'",
    "\"a b\"",
    "'yes'",
    "a-b",
    "''",
    "'0x1'",
    "\"l1\\nl2\\n\"",
    "'a: b'",
    "é",
    "'#'",
    "1.5e3x",
    "'~'",
];
const NAMES: [&str; 4] = ["web", "api", "db", "job"];
const KEYS: [&str; 5] = ["app", "tier", "example.org/part", "a1", "a10"];

fn deployment(dice: &mut Dice, kind: &str, name: &str) -> String {
    let mut text = format!(
        "apiVersion: apps/v1\nkind: {kind}\nmetadata:\n  name: {name}\n  labels: {{{}: {}}}\nspec:\n",
        dice.pick(&KEYS),
        dice.pick(&["v", "'1'", "'on'"])
    );
    if dice.one_in(2) {
        writeln!(text, "  replicas: {}", dice.roll(5)).unwrap();
    }
    if dice.one_in(2) {
        writeln!(text, "  selector: {{matchLabels: {{app: {name}}}}}").unwrap();
    }
    writeln!(text, "  template:\n    metadata: {{labels: {{app: {name}}}}}\n    spec:\n      containers:").unwrap();
    for at in 0..=dice.roll(2) {
        writeln!(
            text,
            "      - name: c{at}\n        image: {}",
            dice.pick(&["img", "img:1", "r.io:5000/img:2", "img@sha256:ab"])
        )
        .unwrap();
        if dice.one_in(2) {
            writeln!(text, "        env:\n        - {{name: A, value: {}}}", dice.pick(&VALUES)).unwrap();
            writeln!(text, "        - {{name: B, valueFrom: {{configMapKeyRef: {{name: settings, key: a}}}}}}")
                .unwrap();
        }
        if dice.one_in(3) {
            writeln!(
                text,
                "        ports: [{{containerPort: {}}}, {{containerPort: 53, protocol: UDP}}]",
                80 + dice.roll(3)
            )
            .unwrap();
        }
        if dice.one_in(3) {
            writeln!(text, "        args: [{}, {}]", dice.pick(&VALUES), dice.pick(&VALUES)).unwrap();
        }
    }
    if dice.one_in(2) {
        text.push_str(
            "      volumes: [{name: v, configMap: {name: settings}}, {name: s, secret: {secretName: token}}]\n",
        );
    }
    if dice.one_in(4) {
        text.push_str("      serviceAccountName: account\n");
    }
    text
}

fn objects(dice: &mut Dice) -> String {
    let mut all: Vec<String> = Vec::new();
    for name in NAMES.iter().take(1 + usize::try_from(dice.roll(3)).unwrap()) {
        let kind = dice.pick(&["Deployment", "StatefulSet", "DaemonSet"]);
        all.push(deployment(dice, kind, name));
    }
    if dice.one_in(2) {
        all.push(format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: web}}\nspec: {{selector: {{app: web}}, ports: [{{port: {}, targetPort: http}}]}}\n",
            80 + dice.roll(2)
        ));
    }
    if dice.one_in(2) {
        all.push(format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: plain}}\ndata: {{{}: {}, b: {}}}\n",
            dice.pick(&["a", "k.txt"]),
            dice.pick(&VALUES),
            dice.pick(&VALUES)
        ));
    }
    if dice.one_in(3) {
        all.push("apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: account}\n".into());
        all.push("apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: binding}\nroleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: role}\nsubjects: [{kind: ServiceAccount, name: account}, {kind: ServiceAccount, name: default, namespace: x}]\n".into());
        all.push("apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: role}\nrules: [{resources: [secrets], resourceNames: [token]}]\n".into());
    }
    if dice.one_in(4) {
        all.push("apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: cron}\nspec: {schedule: '* * * * *', jobTemplate: {spec: {template: {spec: {containers: [{name: c0, image: 'img:1'}]}}}}}\n".into());
    }
    if dice.one_in(4) {
        all.push("apiVersion: example.org/v1\nkind: Odd\nmetadata: {name: odd}\nspec: {n: 1, f: 1.50, list: [a, b], t: 'yes', maps: [{name: a, v: 1}, {name: b}]}\n".into());
    }
    if dice.one_in(5) {
        all.push("apiVersion: v1\nkind: Namespace\nmetadata: {name: space}\n".into());
    }
    all.join("---\n")
}

fn patch(dice: &mut Dice) -> &'static str {
    dice.pick(&[
        "- target: {kind: Deployment|StatefulSet}\n  patch: '[{\"op\": \"add\", \"path\": \"/metadata/labels/added\", \"value\": \"1\"}]'\n",
        "- target: {kind: ConfigMap}\n  patch: |-\n    - {op: add, path: /data/n, value: \"text\"}\n",
        "- target: {name: w.*}\n  patch: |-\n    apiVersion: apps/v1\n    kind: Any\n    metadata: {name: any, annotations: {p: q}}\n",
        "- target: {kind: DaemonSet}\n  patch: |-\n    apiVersion: apps/v1\n    kind: DaemonSet\n    metadata: {name: x}\n    spec: {template: {spec: {containers: [{name: c0, image: patched, env: [{name: A, value: '7'}, {name: C, value: c}]}, {name: new, image: n}]}}}\n",
        "- target: {kind: Deployment}\n  patch: |-\n    apiVersion: apps/v1\n    kind: Deployment\n    metadata: {name: x}\n    spec: {replicas: 9, template: {spec: {containers: [{name: c0, ports: [{containerPort: 80, name: p}]}, {name: c1, $patch: delete}], volumes: [{name: v, configMap: null, emptyDir: {}}]}}}\n",
        "- target: {kind: StatefulSet}\n  patch: |-\n    apiVersion: apps/v1\n    kind: StatefulSet\n    metadata: {name: x, labels: null}\n    spec: {template: {spec: {$patch: replace, containers: [{name: only, image: o}]}}}\n",
        "- target: {labelSelector: 'app,tier!=v'}\n  patch: '[{\"op\": \"add\", \"path\": \"/metadata/annotations\", \"value\": {\"all\": \"new\"}}]'\n",
        "- target: {kind: Odd}\n  patch: |-\n    apiVersion: example.org/v1\n    kind: Odd\n    metadata: {name: odd}\n    spec: {list: [c], maps: [{name: c}], n: null}\n",
    ])
}

fn generator(dice: &mut Dice, name: &str, merges: bool) -> String {
    let mut text = format!("- name: {name}\n");
    if merges {
        writeln!(text, "  behavior: {}", dice.pick(&["merge", "replace"])).unwrap();
    }
    writeln!(text, "  literals: ['a={}', 'k{}=v']", dice.roll(9), dice.roll(3)).unwrap();
    if dice.one_in(2) {
        text.push_str("  files: [note.txt, other=note.txt]\n");
    }
    if dice.one_in(3) {
        text.push_str("  envs: [vars.env]\n");
    }
    if dice.one_in(3) {
        writeln!(
            text,
            "  options: {{{}}}",
            dice.pick(&["disableNameSuffixHash: true", "labels: {o: p}", "immutable: true", "annotations: {n: '5'}"])
        )
        .unwrap();
    }
    text
}

fn fields(dice: &mut Dice, overlay: bool) -> String {
    let mut text = String::new();
    let mut line = |chance: bool, content: String| {
        if chance {
            text.push_str(&content);
            text.push('\n');
        }
    };
    let prefix = dice.pick(&["p-", "x1-"]);
    line(dice.one_in(3), format!("namePrefix: {prefix}"));
    line(dice.one_in(4), "nameSuffix: -s".into());
    line(dice.one_in(3), format!("namespace: {}", dice.pick(&["prod", "default", "ns-1"])));
    line(dice.one_in(4), format!("commonLabels: {{{}: {}}}", dice.pick(&KEYS), dice.pick(&["v2", "'2'"])));
    line(dice.one_in(4), format!("commonAnnotations: {{note: {}}}", dice.pick(&VALUES)));
    let include = dice.pick(&["includeSelectors: true", "includeTemplates: true", "includeSelectors: false"]);
    line(dice.one_in(4), format!("labels: [{{pairs: {{part: of, n: '1'}}, {include}}}]"));
    let change = dice.pick(&[
        "newTag: '9'",
        "newName: other",
        "digest: sha256:cd",
        "newName: r/o, newTag: v1",
        "newTag: t, digest: sha256:ef",
    ]);
    line(dice.one_in(3), format!("images: [{{name: img, {change}}}, {{name: 'r.io:5000/img', newTag: latest}}]"));
    line(dice.one_in(6), format!("replicas: [{{name: web, count: {}}}]", dice.roll(9)));
    line(
        dice.one_in(6),
        format!(
            "buildMetadata: [{}]",
            dice.pick(&[
                "originAnnotations",
                "transformerAnnotations",
                "managedByLabel",
                "originAnnotations, transformerAnnotations"
            ])
        ),
    );
    line(dice.one_in(5) && overlay, format!("sortOptions: {{order: {}}}", dice.pick(&["fifo", "legacy"])));
    if dice.one_in(2) {
        let list: String = (0..=dice.roll(2)).map(|_| patch(dice)).collect();
        line(true, format!("patches:\n{}", list.trim_end()));
    }
    if dice.one_in(5) {
        let path = dice.pick(&["metadata.annotations.from", "spec.template.metadata.annotations.from"]);
        let source = dice.pick(&["metadata.name", "spec.template.spec.containers.0.image", "metadata.labels.app"]);
        line(
            true,
            format!(
                "replacements: [{{source: {{name: web, group: apps, fieldPath: {source}}}, targets: [{{select: {{group: apps}}, fieldPaths: [{path}], options: {{create: true}}}}]}}]"
            ),
        );
    }
    text
}

/// The case of a seed; what is rendered is `top`.
pub(crate) fn case(seed: u64) -> FileTree {
    let mut dice = Dice::new(seed);
    let mut text = format!("=== base/all.yaml\n{}", objects(&mut dice));
    text.push_str("=== base/note.txt\nline one\nline two\n=== base/vars.env\nX=1\n# no\nY=two words\n");
    text.push_str("=== top/note.txt\nother\n=== top/vars.env\nX=2\n");
    text.push_str("=== base/kustomization.yaml\nresources: [all.yaml]\n");
    text.push_str(&fields(&mut dice, false));
    let generated = dice.one_in(2);
    if generated {
        writeln!(text, "configMapGenerator:\n{}", generator(&mut dice, "settings", false).trim_end()).unwrap();
        writeln!(text, "secretGenerator:\n{}", generator(&mut dice, "token", false).trim_end()).unwrap();
    }
    let component = dice.one_in(4);
    if component {
        writeln!(
            text,
            "=== part/kustomization.yaml\napiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n{}",
            fields(&mut dice, false).trim_end()
        )
        .unwrap();
    }
    text.push_str("=== top/kustomization.yaml\nresources: [../base]\n");
    if component {
        text.push_str("components: [../part]\n");
    }
    text.push_str(&fields(&mut dice, true));
    if generated && dice.one_in(2) {
        writeln!(text, "configMapGenerator:\n{}", generator(&mut dice, "settings", true).trim_end()).unwrap();
    }
    if !generated && dice.one_in(3) {
        writeln!(text, "configMapGenerator:\n{}", generator(&mut dice, "settings", false).trim_end()).unwrap();
    }
    fixture::tree(&text)
}

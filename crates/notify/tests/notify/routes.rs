//! Whom an alert goes to.

use std::fs;

use prograde_model::labels::Labels;

use super::peer::{amtool, printed};

const CONFIG: &str = r#"
route:
  receiver: root
  routes:
    - match: { team: db }
      receiver: db
      routes:
        - match_re: { severity: "page|critical" }
          receiver: db-page
        - matchers: [ 'severity!~"page|critical"', 'zone!=""' ]
          receiver: db-zone
    - matchers: [ 'team=~"web.*"' ]
      continue: true
      receiver: web
      routes:
        - matchers: [ '{severity="page",zone=~"a|b"}' ]
          receiver: web-page
          continue: true
        - matchers: [ severity = page ]
          receiver: web-any
    - matchers: [ 'zone=""' ]
      receiver: nowhere
    - match: { severity: page }
      receiver: page
receivers:
  - { name: root }
  - { name: db }
  - { name: db-page }
  - { name: db-zone }
  - { name: web }
  - { name: web-page }
  - { name: web-any }
  - { name: nowhere }
  - { name: page }
"#;

/// Every set of one of these values for each label.
fn label_sets() -> Vec<Vec<(&'static str, &'static str)>> {
    let mut sets = Vec::new();
    for team in ["", "db", "web", "website", "aweb"] {
        for severity in ["", "page", "critical", "ticket", "pages"] {
            for zone in ["", "a", "c"] {
                sets.push(vec![("alertname", "X"), ("team", team), ("severity", severity), ("zone", zone)]);
            }
        }
    }
    sets
}

#[test]
fn alerts_go_where_amtool_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alertmanager.yml");
    fs::write(&path, CONFIG).unwrap();
    let config = prograde_notify::parse("alertmanager.yml", CONFIG).unwrap();
    let file = format!("--config.file={}", path.display());
    let sets = label_sets();
    assert_eq!(sets.len(), 75);
    for set in sets {
        let labels: Labels = set.iter().copied().collect();
        let pairs: Vec<String> = labels.iter().map(|label| format!("{}={}", label.name, label.value)).collect();
        let mut arguments = vec!["config", "routes", "test", &file];
        arguments.extend(pairs.iter().map(String::as_str));
        let Some(output) = amtool(&arguments) else { return };
        assert_eq!(printed(&output).trim(), config.routing.receivers_of(&labels).join(","), "{labels}");
    }
}

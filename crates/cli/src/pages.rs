//! The pages on errors' codes, carried in the program. `docs/errors/` holds one file for each code, and this list names
//! them all; a test compares it with the codes that the source code uses.

/// A page.
#[derive(Debug)]
pub(crate) struct Page {
    /// The code.
    pub(crate) code: &'static str,
    /// The page, in Markdown.
    pub(crate) text: &'static str,
}

impl Page {
    /// The first heading, without the code.
    pub(crate) fn title(&self) -> &'static str {
        let heading = self.text.lines().next().unwrap_or_default();
        heading.split_once(": ").map_or(heading, |(_, title)| title)
    }
}

macro_rules! pages {
    ($($code:literal)*) => {
        &[$(Page { code: $code, text: include_str!(concat!("../../../docs/errors/", $code, ".md")) }),*]
    };
}

/// All pages, by code.
pub(crate) const ALL: &[Page] = pages![
    "PG0101"
    "PG0102"
    "PG0103"
    "PG0104"
    "PG0105"
    "PG0106"
    "PG0201"
    "PG0202"
    "PG0203"
    "PG0204"
    "PG0205"
    "PG0206"
    "PG0207"
    "PG0208"
    "PG0209"
    "PG0210"
    "PG0211"
    "PG0212"
    "PG0213"
    "PG0290"
    "PG0301"
    "PG0302"
    "PG0303"
    "PG0304"
    "PG0305"
    "PG0306"
    "PG0307"
    "PG0308"
    "PG0309"
    "PG0310"
    "PG0311"
    "PG0401"
    "PG0402"
    "PG0403"
    "PG0404"
    "PG0405"
    "PG0406"
    "PG0407"
    "PG0408"
    "PG0409"
    "PG0410"
    "PG0411"
    "PG0412"
    "PG0420"
    "PG0421"
    "PG0422"
    "PG0423"
    "PG0424"
    "PG0425"
    "PG0426"
    "PG0427"
    "PG0428"
    "PG0430"
    "PG0431"
    "PG0432"
    "PG0433"
    "PG0434"
    "PG0490"
    "PG0501"
    "PG0502"
    "PG0503"
    "PG0504"
    "PG0505"
    "PG0601"
    "PG0602"
    "PG0610"
    "PG0611"
    "PG0612"
    "PG0613"
    "PG0614"
    "PG0615"
    "PG0620"
    "PG0621"
    "PG0622"
    "PG0623"
    "PG0640"
    "PG0641"
    "PG0642"
    "PG0643"
    "PG0650"
    "PG0651"
    "PG0652"
    "PG0653"
    "PG0660"
    "PG0661"
    "PG0670"
    "PG0671"
    "PG0672"
    "PG0673"
    "PG0674"
    "PG0680"
    "PG0681"
    "PG0682"
    "PG0683"
    "PG0690"
    "PG0691"
    "PG0692"
    "PG0700"
    "PG0701"
    "PG0702"
    "PG0703"
    "PG0704"
    "PG0705"
    "PG0750"
    "PG0751"
    "PG0760"
    "PG0761"
    "PG0762"
    "PG0763"
    "PG0764"
    "PG0765"
    "PG0766"
    "PG0767"
    "PG0780"
    "PG0781"
    "PG0782"
    "PG0783"
    "PG0784"
    "PG0785"
    "PG0786"
    "PG0787"
    "PG0788"
    "PG0789"
    "PG0801"
    "PG0802"
    "PG0803"
    "PG0804"
    "PG0805"
    "PG0806"
    "PG0807"
    "PG0808"
    "PG0809"
    "PG0810"
    "PG0901"
    "PG0902"
    "PG0903"
    "PG0904"
    "PG0905"
    "PG0906"
    "PG0907"
    "PG0908"
    "PG0909"
    "PG0910"
    "PG0911"
    "PG0912"
    "PG0914"
    "PG0915"
    "PG0916"
    "PG1001"
    "PG1002"
    "PG1003"
    "PG1004"
    "PG1005"
    "PG1006"
    "PG1007"
    "PG1008"
    "PG1009"
    "PG1010"
    "PG1101"
    "PG1102"
    "PG1103"
    "PG1104"
    "PG1105"
    "PG1106"
    "PG1107"
    "PG1201"
    "PG1202"
    "PG1203"
    "PG1204"
    "PG1205"
    "PG1206"
    "PG1207"
    "PG1210"
    "PG1211"
    "PG1212"
    "PG1213"
    "PG1214"
    "PG1215"
    "PG1220"
    "PG1221"
    "PG1222"
    "PG1225"
    "PG1230"
    "PG1231"
    "PG1232"
    "PG1233"
    "PG1235"
    "PG1300"
    "PG1301"
    "PG1302"
    "PG1303"
    "PG1320"
    "PG1321"
    "PG1322"
    "PG1323"
    "PG1324"
    "PG1325"
    "PG1326"
    "PG1327"
    "PG1328"
    "PG1340"
    "PG1341"
    "PG1342"
    "PG1343"
    "PG1344"
    "PG1345"
    "PG1346"
    "PG1347"
    "PG1348"
    "PG1349"
    "PG1350"
    "PG1351"
    "PG1352"
    "PG1353"
    "PG1354"
    "PG1360"
    "PG1361"
    "PG1362"
    "PG1363"
    "PG1364"
    "PG1370"
    "PG1371"
    "PG1372"
    "PG1373"
    "PG1374"
    "PG1375"
    "PG1376"
    "PG1377"
    "PG1378"
    "PG1379"
    "PG1380"
    "PG1381"
    "PG1382"
    "PG1383"
    "PG1384"
    "PG1385"
    "PG1386"
    "PG1387"
    "PG1388"
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    /// The codes written in a folder's source files.
    fn codes_in(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                codes_in(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                for (at, _) in text.match_indices("\"PG") {
                    let code: String = text[at + 1..].chars().take(6).collect();
                    found.extend(Some(code).filter(|code| code[2..].bytes().all(|b| b.is_ascii_digit())));
                }
            }
        }
    }

    #[test]
    fn every_code_has_a_page_and_every_page_is_carried() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut used = BTreeSet::new();
        for entry in fs::read_dir(root.join("crates")).unwrap().map(Result::unwrap) {
            codes_in(&entry.path().join("src"), &mut used);
        }
        let carried: BTreeSet<String> = ALL.iter().map(|page| page.code.to_owned()).collect();
        let missing: Vec<_> = used.difference(&carried).collect();
        assert!(missing.is_empty(), "codes without a page in docs/errors: {missing:?}");
        let files = fs::read_dir(root.join("docs/errors")).unwrap().map(|entry| entry.unwrap().path());
        let written: BTreeSet<String> =
            files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
        assert_eq!(written, carried);
    }

    #[test]
    fn pages_have_the_same_form() {
        for page in ALL {
            let mut lines = page.text.lines();
            assert!(lines.next().unwrap().starts_with(&format!("# {}: ", page.code)), "{}", page.code);
            assert_eq!(lines.next(), Some(""), "{}", page.code);
            for section in ["## What it means", "## What to do"] {
                assert!(page.text.contains(&format!("\n{section}\n\n")), "{} lacks {section:?}", page.code);
            }
            assert!(page.text.ends_with('\n') && page.title().len() > 8, "{}", page.code);
        }
        assert!(ALL.is_sorted_by_key(|page| page.code));
    }
}

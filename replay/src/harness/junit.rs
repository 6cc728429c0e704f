//! A report in JUnit's XML: a suite a spec, a case a check.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::report::Ran;

/// The report.
pub(crate) fn junit(all: &[Ran]) -> Result<String, quick_junit::SerializeError> {
    let mut report = Report::new("redtape test");
    for ran in all {
        let path = ran.spec.path.display().to_string();
        let mut suite = TestSuite::new(path.clone());
        match &ran.outcome {
            Err(failure) => {
                let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
                status.set_message(failure.to_string());
                suite.add_test_case(case(&path, "spec", status));
            }
            Ok(outcome) => {
                suite.set_time(outcome.took);
                if let Some(reason) = &outcome.skipped {
                    let mut status = TestCaseStatus::skipped();
                    status.set_message(reason.as_str());
                    suite.add_test_case(case(&path, "spec", status));
                }
                suite.add_test_cases(cases(ran, &path));
            }
        }
        if !ran.spec.title().is_empty() {
            suite.add_property(("name", ran.spec.title()));
        }
        if let Some(sha) = &ran.spec.spec.sha {
            suite.add_property(("sha", sha.as_str()));
        }
        report.add_test_suite(suite);
    }
    report.to_string()
}

fn cases(ran: &Ran, path: &str) -> Vec<TestCase> {
    let runs = ran.outcome.iter().flat_map(|outcome| &outcome.runs);
    let cases = runs.flat_map(|run| {
        run.checks.iter().map(move |check| {
            let name = if run.label.is_empty() { check.key.clone() } else { format!("[{}] {}", run.label, check.key) };
            let Some(fault) = &check.fault else { return case(path, &name, TestCaseStatus::success()) };
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(fault.message.as_str());
            let place = ran.place(check);
            let position = place.position.map_or_else(String::new, |(line, column)| format!(":{line}:{column}"));
            status.set_description(format!("{path}{position}\n{}\n{}", fault.message, fault.details.join("\n")));
            case(path, &name, status)
        })
    });
    cases.collect()
}

fn case(path: &str, name: &str, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(name, status);
    case.set_classname(path);
    case
}

//! The document says what the router does.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::harness::Harness;

fn document() -> Value {
    serde_json::from_str(ingress::openapi::DOCUMENT).unwrap()
}

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

fn operations(document: &Value) -> impl Iterator<Item = (String, String, &Value)> {
    document["paths"].as_object().unwrap().iter().flat_map(|(path, item)| {
        METHODS.iter().filter_map(move |method| {
            item.get(method).map(|operation| (method.to_uppercase(), path.clone(), operation))
        })
    })
}

#[tokio::test]
async fn the_document_and_the_router_have_the_same_operations() {
    let harness = Harness::start().await;
    let served = harness.call("GET", "/openapi.json", None, &[], None).await.expect(200).json();
    assert_eq!(served, document());
    assert_eq!(served["openapi"], "3.1.0");
    assert_eq!(served["info"]["title"], "E-Commerce Order System API");
    let documented: BTreeSet<_> =
        operations(&served).map(|(method, path, _)| (method, path)).collect();
    let routed: BTreeSet<_> = ingress::ROUTES
        .iter()
        .chain(ingress::MOUNTED)
        .map(|(method, path)| ((*method).to_owned(), (*path).to_owned()))
        .collect();
    assert_eq!(documented, routed);
}

#[test]
fn every_reference_leads_somewhere_and_every_path_parameter_is_declared() {
    let document = document();
    let mut stack = vec![&document];
    while let Some(value) = stack.pop() {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(reference)) = members.get("$ref") {
                    let pointer = reference.strip_prefix('#').unwrap();
                    assert!(document.pointer(pointer).is_some(), "{reference}");
                }
                stack.extend(members.values());
            }
            Value::Array(items) => stack.extend(items),
            _ => {}
        }
    }
    for (method, path, operation) in operations(&document) {
        let shared = &document["paths"][&path]["parameters"];
        let declared: BTreeSet<&str> = [shared, &operation["parameters"]]
            .into_iter()
            .filter_map(Value::as_array)
            .flatten()
            .filter_map(|parameter| {
                parameter["$ref"]
                    .as_str()
                    .and_then(|reference| reference.rsplit('/').next())
                    .or(parameter["name"].as_str())
            })
            .collect();
        for name in path.split(['{', '}']).skip(1).step_by(2) {
            assert!(declared.contains(name), "{method} {path} does not declare {name}");
        }
    }
}

#[tokio::test]
async fn who_may_call_is_as_documented() {
    let harness = Harness::start().await;
    let document = document();
    for (method, path, operation) in operations(&document) {
        let open = operation["security"].as_array().is_some_and(Vec::is_empty);
        if open && ingress::MOUNTED.contains(&(method.as_str(), path.as_str())) {
            continue; // Another crate answers, and its tests say what.
        }
        let concrete = crate::headers::concrete(&path);
        let anonymous = harness.call(&method, &concrete, None, &[], Some("{}")).await;
        let wants_token = anonymous.status == 401 && anonymous.json()["code"] == "missing_token";
        assert_eq!(wants_token, !open, "{method} {path}: {}", anonymous.text);
        if path.contains("/admin/") {
            harness
                .call(&method, &concrete, Some(&harness.customer()), &[], Some("{}"))
                .await
                .problem(403, "forbidden");
        }
        let documented = operation["responses"].as_object().unwrap();
        let status = anonymous.status.as_u16().to_string();
        assert!(
            documented.contains_key(&status),
            "{method} {path} answered {status}, which is not documented"
        );
    }
}

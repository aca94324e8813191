//! Documents that change while the program runs.

use std::fs;

use bindwright::{Client, ClientOptions, ErrorCode, Reload, Request};

use crate::fixture::{Fixture, ask, options, text, until};

async fn reload(client: &Client) -> Reload {
    client.reload().await.expect("looked")
}

#[tokio::test]
async fn components_are_added_changed_and_removed() {
    let fixture = Fixture::new();
    fixture.write("stays", "1");
    fixture.write("changes", "1");
    fixture.write("goes", "1");
    let client = fixture.client();
    for name in ["stays", "changes", "goes"] {
        assert_eq!(ask(&client, name).await, format!("{name} 1"));
    }
    fixture.write("changes", "2");
    fixture.write("comes", "1");
    fs::remove_file(fixture.path("goes.yaml")).expect("removed");
    let done = reload(&client).await;
    assert_eq!(
        (done.added, done.changed, done.removed),
        (vec!["comes".into()], vec!["changes".into()], vec!["goes".into()])
    );
    assert_eq!(done.faults.len(), 0, "{:?}", done.faults);
    assert_eq!(ask(&client, "changes").await, "changes 2");
    assert_eq!(ask(&client, "comes").await, "comes 1");
    assert_eq!(ask(&client, "goes").await, "COMPONENT_NOT_FOUND");
    until("the old ones are closed", || {
        fixture.world.count("close changes 1") == 1 && fixture.world.count("close goes 1") == 1
    })
    .await;
    assert_eq!(ask(&client, "stays").await, "stays 1");
    assert_eq!((fixture.world.count("open stays 1"), fixture.world.count("close stays 1")), (1, 0));
}

#[tokio::test]
async fn nobody_needs_to_ask_for_it() {
    let fixture = Fixture::new();
    fixture.write("a", "1");
    let client = fixture.client();
    assert_eq!(ask(&client, "a").await, "a 1");
    fixture.write("a", "2");
    until("the change is noticed", || fixture.world.count("open a 2") == 1).await;
    assert_eq!(ask(&client, "a").await, "a 2");
}

#[tokio::test]
async fn labels_comments_and_places_change_nothing() {
    let fixture = Fixture::new();
    fixture.write("a", "1");
    let client = fixture.client();
    assert_eq!(ask(&client, "a").await, "a 1");
    let text = fixture
        .document("a", "1", &[])
        .replace("  name: a\n", "  name: a\n  labels: {x: y}\n  annotations: {x: y}\n");
    fs::remove_file(fixture.path("a.yaml")).expect("removed");
    fixture.write_text("b.yaml", &format!("# moved\n\n{text}"));
    let done = reload(&client).await;
    assert_eq!((done.added.len(), done.changed.len(), done.removed.len()), (0, 0, 0), "{done:?}");
    assert_eq!(ask(&client, "a").await, "a 1");
    assert_eq!(fixture.world.count("open a 1"), 1);
    // Where it came from counts the next time.
    fixture.write_text("b.yaml", "kind: [");
    assert_eq!(reload(&client).await.removed.len(), 0);
}

/// Makes a text of a fixture.
type Spoil = fn(&Fixture) -> String;

#[tokio::test]
async fn a_document_that_cannot_be_used_changes_nothing_until_it_is_mended() {
    let good = |fixture: &Fixture, say: &str| fixture.document("a", say, &[]);
    let spoilt: [(&str, Spoil); 6] = [
        ("bad YAML", |_| "kind: Component\nmetadata: [".to_owned()),
        ("a type nobody knows", |fixture| {
            fixture.document("a", "2", &[]).replace("bindings.scripted", "bindings.nonsense")
        }),
        ("settings that are refused", |fixture| fixture.document("a", "2", &["refuse: settings"])),
        ("an output that does not open", |fixture| fixture.document("a", "2", &["refuse: output"])),
        ("a setting given twice", |fixture| fixture.document("a", "2", &["Say: 3"])),
        ("the name given twice", |fixture| format!("{0}---\n{0}", fixture.document("a", "2", &[]))),
    ];
    for (what, spoil) in spoilt {
        let fixture = Fixture::new();
        fixture.write_text("a.yaml", &good(&fixture, "1"));
        fixture.write("other", "1");
        let client = fixture.client();
        assert_eq!(ask(&client, "a").await, "a 1");
        fixture.write_text("a.yaml", &spoil(&fixture));
        fixture.write("other", "2");
        let done = reload(&client).await;
        assert_eq!((done.added.len(), done.removed.len()), (0, 0), "{what}");
        assert_eq!(done.changed, ["other"], "{what}: what is whole is applied");
        assert_eq!(done.faults.len(), 1, "{what}: {:?}", done.faults);
        assert_eq!(client.faults().len(), 1, "{what}");
        assert_eq!(ask(&client, "a").await, "a 1", "{what}");
        fixture.write_text("a.yaml", &good(&fixture, "3"));
        let done = reload(&client).await;
        assert_eq!((done.changed, done.faults.len()), (vec!["a".to_owned()], 0), "{what}");
        assert_eq!(ask(&client, "a").await, "a 3", "{what}");
    }
}

#[tokio::test]
async fn a_document_that_was_wrong_from_the_start_can_be_mended() {
    let fixture = Fixture::new();
    fixture.write_text("a.yaml", &fixture.document("a", "1", &["refuse: settings"]));
    let client = fixture.client();
    assert_eq!(ask(&client, "a").await, "INVALID_SETTINGS");
    fixture.write("a", "2");
    assert_eq!(reload(&client).await.changed, ["a"]);
    assert_eq!(ask(&client, "a").await, "a 2");
}

#[tokio::test]
async fn a_folder_that_is_gone_stops_nothing() {
    let fixture = Fixture::new();
    let folder = fixture.path("resources");
    let write = |say: &str| {
        fs::create_dir_all(&folder).expect("made");
        fs::write(folder.join("a.yaml"), fixture.document("a", say, &[])).expect("written");
    };
    write("1");
    let client = Client::open(options(&folder)).expect("opened");
    assert_eq!(ask(&client, "a").await, "a 1");
    fs::remove_dir_all(&folder).expect("removed");
    let done = reload(&client).await;
    assert_eq!((done.removed.len(), done.faults.len()), (0, 1));
    assert_eq!(client.faults()[0].code(), ErrorCode::InvalidOptions);
    assert_eq!(ask(&client, "a").await, "a 1");
    // A client that is opened now is told, as ever.
    assert_eq!(Client::open(options(&folder)).expect_err("no folder").code(), ErrorCode::InvalidOptions);
    write("2");
    let done = reload(&client).await;
    assert_eq!((done.changed, done.faults.len()), (vec!["a".to_owned()], 0));
}

#[tokio::test]
async fn a_file_may_be_renamed_over_and_a_link_swapped() {
    let fixture = Fixture::new();
    // As Kubernetes mounts configuration: file -> ..data/file, ..data -> a folder of that time.
    for (folder, say) in [("..2026_1", "1"), ("..2026_2", "2")] {
        fs::create_dir(fixture.path(folder)).expect("made");
        fs::write(fixture.path(folder).join("a.yaml"), fixture.document("a", say, &[])).expect("written");
    }
    let link =
        |target: &str, link: &str| std::os::unix::fs::symlink(target, fixture.path(link)).expect("linked");
    link("..2026_1", "..data");
    link("..data/a.yaml", "a.yaml");
    fixture.write("b", "1");
    let client = fixture.client();
    assert_eq!((ask(&client, "a").await, ask(&client, "b").await), ("a 1".into(), "b 1".into()));
    link("..2026_2", "..data_tmp");
    fs::rename(fixture.path("..data_tmp"), fixture.path("..data")).expect("swapped");
    fixture.write_text("b.tmp", &fixture.document("b", "2", &[]));
    fs::rename(fixture.path("b.tmp"), fixture.path("b.yaml")).expect("renamed");
    assert_eq!(reload(&client).await.changed, ["a", "b"]);
    assert_eq!((ask(&client, "a").await, ask(&client, "b").await), ("a 2".into(), "b 2".into()));
}

#[tokio::test]
async fn a_call_under_way_ends_on_the_component_it_began_with() {
    let fixture = Fixture::new();
    fixture.write("a", "1");
    let client = fixture.client();
    let caller = client.clone();
    let call =
        tokio::spawn(async move { caller.invoke_binding("a", "wait", Request::default(), None).await });
    until("the call is under way", || fixture.world.count("invoke a 1") == 1).await;
    fixture.write("a", "2");
    assert_eq!(reload(&client).await.changed, ["a"]);
    assert_eq!(ask(&client, "a").await, "a 2", "new calls go to the new one at once");
    fixture.write("a", "3");
    assert_eq!(reload(&client).await.changed, ["a"]);
    // Nobody uses this one. The first one, were it closed as well, would have been closed before it.
    until("the second one is closed", || fixture.world.count("close a 2") == 1).await;
    assert_eq!(fixture.world.count("close a 1"), 0);
    fixture.world.gate.add_permits(1);
    let reply = call.await.expect("no panic").expect("not cut off");
    assert_eq!(text(&reply.body), "a 1");
    until("the old one is closed", || fixture.world.count("close a 1") == 1).await;
    assert_eq!(ask(&client, "a").await, "a 3");
    assert_eq!(fixture.world.count("close a 3"), 0);
}

#[tokio::test]
async fn a_call_under_way_survives_the_removal_of_its_component() {
    let fixture = Fixture::new();
    fixture.write("a", "1");
    fixture.write("b", "1");
    let client = fixture.client();
    ask(&client, "b").await;
    let caller = client.clone();
    let call =
        tokio::spawn(async move { caller.invoke_binding("a", "wait", Request::default(), None).await });
    until("the call is under way", || fixture.world.count("invoke a 1") == 1).await;
    for file in ["a.yaml", "b.yaml"] {
        fs::remove_file(fixture.path(file)).expect("removed");
    }
    assert_eq!(reload(&client).await.removed, ["a", "b"]);
    until("the one that nobody uses is closed", || fixture.world.count("close b 1") == 1).await;
    assert_eq!(fixture.world.count("close a 1"), 0);
    fixture.world.gate.add_permits(1);
    call.await.expect("no panic").expect("not cut off");
    until("the old one is closed", || fixture.world.count("close a 1") == 1).await;
}

#[tokio::test]
async fn calls_without_a_pause_never_see_a_gap() {
    let fixture = Fixture::new();
    fixture.write("a", "0");
    let client = fixture.client();
    let caller = client.clone();
    let calls = tokio::spawn(async move {
        let mut seen = Vec::new();
        while seen.last().is_none_or(|last| last != "a 20") {
            let said = ask(&caller, "a").await;
            if seen.last() != Some(&said) {
                seen.push(said);
            }
            tokio::task::yield_now().await;
        }
        seen
    });
    for say in 1..=20 {
        fixture.write("a", &say.to_string());
        assert_eq!(reload(&client).await.changed, ["a"]);
    }
    let seen = calls.await.expect("no panic");
    assert!(seen.iter().all(|said| said.starts_with("a ")), "{seen:?}");
    until("all but the last are closed", || {
        fixture.world.log().iter().filter(|entry| entry.starts_with("close")).count()
            == fixture.world.log().iter().filter(|entry| entry.starts_with("open")).count() - 1
    })
    .await;
}

#[tokio::test]
async fn a_client_opened_after_a_change_has_it_and_shares_what_did_not_change() {
    let fixture = Fixture::new();
    fixture.write("a", "1");
    fixture.write("b", "1");
    let first = fixture.client();
    assert_eq!((ask(&first, "a").await, ask(&first, "b").await), ("a 1".into(), "b 1".into()));
    // Of the same size and within the same step of the file system's clock, perhaps.
    fixture.write("a", "2");
    let second = fixture.client();
    assert_eq!((ask(&second, "a").await, ask(&second, "b").await), ("a 2".into(), "b 1".into()));
    assert_eq!(ask(&first, "a").await, "a 2");
    assert_eq!(fixture.world.count("open b 1"), 1);
}

#[tokio::test]
async fn without_hot_reload_a_client_keeps_what_it_was_opened_with() {
    let fixture = Fixture::new();
    fixture.write("a", "1");
    let open =
        || Client::open(ClientOptions { hot_reload: Some(false), ..fixture.options() }).expect("opened");
    let first = open();
    assert_eq!(ask(&first, "a").await, "a 1");
    fixture.write("a", "2");
    assert_eq!(first.reload().await.expect_err("off").code(), ErrorCode::InvalidOptions);
    let second = open();
    assert_eq!((ask(&first, "a").await, ask(&second, "a").await), ("a 1".into(), "a 2".into()));
}

from hf_lesion.io.provenance import mask_secrets, provenance


def test_the_record_says_what_was_run_with_what():
    record = provenance()
    assert set(record) == {"command", "time", "git_revision", "versions", "machine"}
    assert {"torch", "transformers", "timm", "datasets"} <= set(record["versions"])


def test_secrets_are_masked():
    words = ["--hub_token", "hf_abc", "--push", "--hub-token=hf_abc", "--seed", "3"]
    assert mask_secrets(words) == ["--hub_token", "***", "--push", "--hub-token=***", "--seed", "3"]

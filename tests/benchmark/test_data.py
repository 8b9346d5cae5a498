from hf_lesion.benchmark.data import eval_candidates, train_candidates, write_images


def test_every_candidate_reads_all_images(tmp_path):
    rows = write_images(tmp_path, (120, 90), count=10)
    assert rows[0]["image"].size == (120, 90)
    for candidates in (train_candidates(rows), eval_candidates(rows)):
        assert [candidate.run() for candidate in candidates] == [10] * len(candidates)


def test_images_of_a_dataset_are_brought_to_the_size(sample_dataset, tmp_path):
    rows = write_images(tmp_path, (60, 45), count=5, source=sample_dataset)
    assert [row["image"].size for row in rows] == [(60, 45)] * 5

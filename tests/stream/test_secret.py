"""Secrets show themselves to nobody, and come from the environment or a file alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream.secret import Secret, SecretError, read_secret
from stream.settings import Settings, SettingsError, load, spell

PLANTED = "planted-secret-9f3a"


def test_a_secret_shows_itself_to_nobody() -> None:
    secret = Secret(PLANTED)
    settings = load(environment={"TIDECAST_KAFKA_PASSWORD": PLANTED})
    for shown in (f"{secret}", f"{secret!r}", f"{[secret]}", repr(settings), str(settings)):
        assert PLANTED not in shown and "***" in shown
    assert spell(settings.kafka_password) == "***"
    assert settings.kafka_password.reveal() == PLANTED


def test_processes_of_the_roles_are_given_it() -> None:
    settings = Settings(kafka_password=Secret(PLANTED))
    assert load(environment=settings.environment()) == settings


def test_only_itself_matches_and_an_empty_one_nothing() -> None:
    assert Secret(PLANTED).matches(PLANTED)
    assert not Secret(PLANTED).matches(PLANTED + "x")
    assert not Secret(PLANTED).matches("ü\udcff")
    assert not Secret("").matches("")


def test_a_secret_in_the_settings_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "tidecast.toml"
    file.write_text(f'kafka_password = "{PLANTED}"\n')
    with pytest.raises(SettingsError, match=r"TIDECAST_KAFKA_PASSWORD.*_password_file") as told:
        load(file, {})
    assert PLANTED not in str(told.value)


def test_a_file_of_a_secret_is_read_whenever_it_is_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "password"
    for text in (PLANTED, "renewed"):
        file.write_text(text + "\n")
        assert read_secret("kafka_password", Secret(), str(file)).reveal() == text


def test_a_file_of_a_secret_may_have_a_byte_order_mark_and_end_as_lines_do(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_bytes(b"\xef\xbb\xbf" + PLANTED.encode() + b"\r\n")
    assert read_secret("kafka_password", Secret(), str(file)).reveal() == PLANTED


@pytest.mark.parametrize("content", [b"", b"\n", b"one\ntwo", b"\xff", b"x" * 70_000])
def test_a_file_that_holds_no_secret_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "password"
    file.write_bytes(content)
    with pytest.raises(SecretError, match="kafka_password_file: "):
        read_secret("kafka_password", Secret(), str(file))


def test_two_sources_or_a_missing_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SecretError, match="both set"):
        read_secret("kafka_password", Secret(PLANTED), "somewhere")
    with pytest.raises(SecretError, match="cannot be read"):
        read_secret("kafka_password", Secret(), str(tmp_path / "none"))

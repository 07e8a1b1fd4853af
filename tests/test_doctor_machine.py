"""What the doctor sees of the machine: JetPack, clocks, scheduling rights."""

import os

from edge.diagnostics import machine


def jetson(tmp_path, governor="schedutil"):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/nv_tegra_release").write_text(
        "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n"
    )
    cpu = tmp_path / "sys/devices/system/cpu/cpu0/cpufreq"
    cpu.mkdir(parents=True)
    (cpu / "scaling_governor").write_text(governor + "\n")
    return tmp_path


def verdicts(findings):
    return {f.what: (f.verdict, f.text) for f in findings}


def test_a_jetson_is_known_with_its_power_mode_and_governor(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "find_spec", lambda name: None)
    answers = {"nvpmodel": "NV Power Mode: 15W\n0\n"}
    found = verdicts(
        machine.look_at_machine(jetson(tmp_path), lambda words: answers.get(words[0], ""))
    )
    assert found["jetson"] == ("ok", "Jetson Linux 36.4.3, JetPack 6")
    assert found["tensorrt"][0] == "warn"
    assert "--system-site-packages" in found["tensorrt"][1]
    assert found["power"][0] == "warn"
    assert "NV Power Mode: 15W 0" in found["power"][1]
    assert found["clocks"][0] == "warn"
    assert "sudo jetson_clocks" in found["clocks"][1]


def test_a_jetson_at_full_power_has_nothing_to_complain_about(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "find_spec", lambda name: object())
    answers = {"nvpmodel": "NV Power Mode: MAXN\n0\n", "dpkg-query": "6.2+b77"}
    found = verdicts(
        machine.look_at_machine(
            jetson(tmp_path, "performance"), lambda words: answers.get(words[0], "")
        )
    )
    assert found["jetson"] == ("ok", "Jetson Linux 36.4.3, JetPack 6.2+b77")
    assert [found[what][0] for what in ("tensorrt", "power", "clocks")] == ["ok"] * 3


def test_other_machines_need_no_tensorrt_and_no_power_mode(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "find_spec", lambda name: None)
    found = verdicts(machine.look_at_machine(tmp_path, lambda words: ""))
    assert [found[what][0] for what in ("jetson", "tensorrt", "clocks")] == ["ok"] * 3
    assert "power" not in found


def test_refused_real_time_is_a_warning_with_the_line_to_add(tmp_path, monkeypatch):
    def refuse(*args):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    found = verdicts(machine.look_at_machine(tmp_path, lambda words: ""))
    assert found["realtime"][0] == "warn"
    assert "USER - rtprio 50" in found["realtime"][1]


def test_trying_real_time_leaves_this_thread_as_it_was(tmp_path):
    list(machine.look_at_machine(tmp_path, lambda words: ""))
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_a_program_that_fails_or_is_not_there_says_nothing():
    assert machine.run_command(["/no/such/program"]) == ""
    assert machine.run_command(["sh", "-c", "echo x; exit 1"]) == ""
    assert machine.run_command(["sh", "-c", "echo x"]) == "x\n"

// The test vectors of docs/link.md, made anew here, and packets in words. `link_client vectors` and `link_client decode`.
#pragma once

#include <cinttypes>
#include <cstdio>
#include <iostream>

#include "wire.hpp"

namespace sbl {

inline std::string hex(const Bytes& data) {
    std::string out;
    char two[3];
    for (const auto byte : data) std::snprintf(two, sizeof two, "%02x", byte), out += two;
    return out;
}

// Bytes of hexadecimal digits.
inline Bytes unhex(const std::string& digits) {
    if (digits.empty() || digits.size() % 2 || digits.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos)
        throw std::invalid_argument("expected an even number of hexadecimal digits");
    Bytes out;
    for (std::size_t i = 0; i < digits.size(); i += 2)
        out.push_back(static_cast<std::uint8_t>(std::stoi(digits.substr(i, 2), nullptr, 16)));
    return out;
}

// The digest of a trial without monitor; `walk` is the body of SetWalk without request and epoch.
inline Digest trial_digest(std::uint64_t table, const std::vector<double>& gains, const Bytes& walk) {
    return sha256(Writer().raw(std::string("SBTRIAL1")).u64(table).f64s(gains).raw(walk).u16(0).data);
}

inline Bytes example_key() {
    Bytes key;
    for (std::uint8_t i = 0; i < 32; ++i) key.push_back(i);
    return key;
}

inline void print_vectors() {
    const Bytes key = example_key();
    const std::uint64_t session = 0x0000004d00000001, table = 0xfedcba9876543210;
    const std::vector<double> gains{60.0, 2.5, 0.125}, backup{50.0, 2.0, 0.25};
    const Bytes walk = Writer().f64s(std::vector<double>{0.5, 0.5, 0.5, 0.5, 0, 0.25, 0, 0, 0.5, 0.125}).data;
    const auto say = [](const std::string& name, const Bytes& data) { std::cout << name << ' ' << hex(data) << '\n'; };
    const auto packet = [&](const std::string& name, Kind kind, std::uint64_t at, std::uint64_t sequence, const Writer& body) {
        say(name, seal({kind, at, sequence, body.data}, key));
    };
    const auto bytes = [](const Digest& digest) { return Bytes(digest.begin(), digest.end()); };
    const Digest trial = trial_digest(table, gains, walk);

    packet("hello", kHello, 0, 1, Writer().u64(0x123456789abcdef).u8(1).u8(1).text("example", 32));
    packet("heartbeat", kHeartbeat, session, 1, Writer().u32(0).u64(0).u16(5));
    packet("acquire", kAcquireLease, session, 2, Writer().u32(1).u32(0).text("example", 32));
    packet("alive", kHeartbeat, session, 3, Writer().u32(1).u64(3).u16(5));
    packet("gains", kSetGains, session, 4, Writer().u32(2).u32(1).u16(0).u64(table).f64s(gains));
    packet("walk", kSetWalk, session, 5, Writer().u32(3).u32(1).raw(walk));
    packet("arm", kArm, session, 6, Writer().u32(4).u32(1).u64(12).raw(trial));
    packet("start", kStart, session, 7, Writer().u32(5).u32(1).u64(0x7766554433221101).f64(2.5));
    packet("stop", kStop, session, 8, Writer().u8(3).text("enough", 64));

    Bytes states;
    for (std::uint8_t i = 32; i < 64; ++i) states.push_back(i);
    Writer monitor;
    monitor.text("lipschitz", 24).f64s(std::vector<double>{2.0, 0.125, 0, 0, 0, 0}).u16(33).u32(1000).u16(1).raw(states);
    Writer whole;
    whole.raw(std::string("SBTRIAL1")).u64(table).f64s(gains).raw(walk).u16(1).f64s(backup).raw(monitor.data);
    say("gains-digest", bytes(sha256(Writer().f64s(gains).data)));
    say("trial-digest", bytes(trial));
    say("trial-digest-monitor", bytes(sha256(whole.data)));
}

template <class Range> std::string joint(const Range& values) {
    std::string out;
    char word[32];
    for (const double value : values) std::snprintf(word, sizeof word, out.empty() ? "%g" : ", %g", value), out += word;
    return "(" + out + ")";
}

// A packet of the guardian in the words of the page.
inline void print_packet(const Frame& frame) {
    const auto head = [&](const char* name) {
        std::printf("%s, session 0x%016" PRIx64 ", sequence %" PRIu64 ": ", name, frame.session, frame.sequence);
    };
    if (frame.kind == kWelcome) {
        const Welcome w = Welcome::read(frame.body);
        head("Welcome");
        std::printf("nonce 0x%" PRIx64 ", session 0x%" PRIx64 ", version %u, virtual %u, rate %u, gains %u, table 0x%" PRIx64
                    ", robot \"%s\", serial \"%s\"\n", w.nonce, w.session, w.version, w.is_virtual, w.rate, w.gains, w.table,
                    w.robot.c_str(), w.serial.c_str());
    } else if (frame.kind == kReply) {
        const Reply r = Reply::read(frame.body);
        head("Reply");
        std::printf("request %u, code %u, value %" PRIu64 ", detail \"%s\", data %zu bytes\n", r.request, r.code, r.value,
                    r.detail.c_str(), r.data.size());
    } else if (frame.kind == kState) {
        const State s = State::read(frame.body);
        head("State");
        std::printf("time %g, tick %u, age %u, state %u, response %u, cause %u, backup %u, latch %u, epoch %u, trial %" PRIu64
                    ", outcome %u, elapsed %g, stop_seen %" PRIu64 ", accepted %u, missed %u, rejected %u, overruns %u, "
                    "refused %u, battery %u, hottest %u, ", s.time, s.tick, s.age, s.state, s.response, s.cause, s.backup,
                    s.latch, s.epoch, s.trial, s.outcome, s.elapsed, s.stop_seen, s.accepted, s.missed, s.rejected,
                    s.overruns, s.refused, s.battery, s.hottest);
        std::printf("attitude %s, height %s, position %s, velocity %s, torque %s, target %s, words \"%s\"\n",
                    joint(s.attitude).c_str(), joint(s.height).c_str(), joint(s.position).c_str(), joint(s.velocity).c_str(),
                    joint(s.torque).c_str(), joint(s.target).c_str(), s.words.c_str());
    } else {
        std::printf("kind 0x%02x, %zu bytes of body\n", frame.kind, frame.body.size());
    }
}

}  // namespace sbl

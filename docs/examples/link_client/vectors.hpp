// The test vectors of docs/link.md, made anew here, and packets as text: `link_client vectors` and `... decode`.
#pragma once

#include <cstdio>
#include <iomanip>
#include <iostream>
#include <sstream>

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
    const auto packet = [&](const char* name, Kind kind, std::uint64_t at, std::uint64_t sequence, const Writer& body) {
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
    monitor.text("lipschitz", 24).f64s(std::vector<double>{2.0, 0.125, 0, 0, 0, 0}).u16(33).u32(1000).u16(1);
    monitor.raw(states);
    Writer whole;
    whole.raw(std::string("SBTRIAL1")).u64(table).f64s(gains).raw(walk).u16(1).f64s(backup).raw(monitor.data);
    say("gains-digest", bytes(sha256(Writer().f64s(gains).data)));
    say("trial-digest", bytes(trial));
    say("trial-digest-monitor", bytes(sha256(whole.data)));
}

// A message as the page writes it: `Kind, session ..., sequence N: name value, name value`.
class Description {
public:
    Description(const char* kind, const Frame& frame) : separator_(": ") {
        out_ << kind << ", session 0x" << std::hex << std::setw(16) << std::setfill('0') << frame.session << std::dec
             << ", sequence " << frame.sequence;
    }
    Description& number(const char* name, std::uint64_t value) { return begin(name) << value, *this; }
    Description& large(const char* name, std::uint64_t value) {
        return begin(name) << "0x" << std::hex << value << std::dec, *this;
    }
    Description& real(const char* name, double value) { return begin(name) << value, *this; }
    Description& text(const char* name, const std::string& value) { return begin(name) << '"' << value << '"', *this; }
    template <class Range> Description& reals(const char* name, const Range& values) {
        begin(name) << '(';
        const char* between = "";
        for (const float value : values) out_ << between << value, between = ", ";
        out_ << ')';
        return *this;
    }
    std::string str() const { return out_.str(); }

private:
    std::ostream& begin(const char* name) {
        out_ << separator_ << name << ' ';
        separator_ = ", ";
        return out_;
    }
    std::ostringstream out_;
    const char* separator_;
};

inline std::string described(const Frame& frame) {
    if (frame.kind == kWelcome) {
        const Welcome w = Welcome::read(frame.body);
        Description shown("Welcome", frame);
        shown.large("nonce", w.nonce).large("session", w.session).number("version", w.version);
        shown.number("virtual", w.is_virtual).number("rate", w.rate).number("gains", w.gains).large("table", w.table);
        return shown.text("robot", w.robot).text("serial", w.serial).str();
    }
    if (frame.kind == kReply) {
        const Reply r = Reply::read(frame.body);
        Description shown("Reply", frame);
        shown.number("request", r.request).number("code", r.code).number("value", r.value).text("detail", r.detail);
        return shown.number("data", r.data.size()).str() + " bytes";
    }
    if (frame.kind == kState) {
        const State s = State::read(frame.body);
        Description shown("State", frame);
        shown.real("time", s.time).number("tick", s.tick).number("age", s.age).number("state", s.state);
        shown.number("response", s.response).number("cause", s.cause).number("backup", s.backup);
        shown.number("latch", s.latch).number("epoch", s.epoch).number("trial", s.trial).number("outcome", s.outcome);
        shown.real("elapsed", s.elapsed).number("stop_seen", s.stop_seen).number("accepted", s.accepted);
        shown.number("missed", s.missed).number("rejected", s.rejected).number("overruns", s.overruns);
        shown.number("refused", s.refused).number("battery", s.battery).number("hottest", s.hottest);
        shown.reals("attitude", s.attitude).reals("height", s.height).reals("position", s.position);
        shown.reals("velocity", s.velocity).reals("torque", s.torque).reals("target", s.target);
        return shown.text("message", s.message).str();
    }
    return "kind " + std::to_string(frame.kind) + ", " + std::to_string(frame.body.size()) + " bytes of body";
}

}  // namespace sbl

// Packets and messages of the guardian's link as docs/link.md has them. Little-endian, whatever the machine is.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>

#include "sha256.hpp"

namespace sbl {

constexpr std::size_t kHeader = 24, kCode = 32, kMostBody = 1300, kPiece = 1100;
constexpr std::uint8_t kVersion = 1;

enum Kind : std::uint8_t {
    kHello = 0x01, kWelcome = 0x02, kAcquireLease = 0x10, kReleaseLease = 0x11, kResetTrial = 0x12,
    kSetGains = 0x13, kGetGains = 0x14, kSetWalk = 0x15, kArm = 0x18, kStart = 0x1A, kAbort = 0x1B,
    kStand = 0x1C, kLieDown = 0x1D, kAcknowledge = 0x1E, kClear = 0x1F, kFetch = 0x21, kReply = 0x30,
    kHeartbeat = 0x40, kStop = 0x41, kState = 0x50,
};

enum Code : std::uint8_t { kOk = 0, kLeaseHeld = 2, kNotReady = 8 };

enum StateNumber : std::uint8_t { kRest = 1, kHold = 3, kArmed = 4, kRunning = 5 };

inline const char* state_name(unsigned number) {
    static const char* const names[] = {"DISCONNECTED", "REST", "STANDING_UP", "HOLD", "ARMED", "RUNNING",
                                        "LYING_DOWN", "HOLD_LATCHED", "SIT_LATCHED", "DAMP_LATCHED",
                                        "HOLD_ACKNOWLEDGED", "DAMP_ACKNOWLEDGED"};
    return number < 12 ? names[number] : "UNKNOWN";
}

// Appends numbers and texts to a body.
class Writer {
public:
    Bytes data;

    template <class Unsigned> Writer& number(Unsigned value) {
        for (std::size_t i = 0; i < sizeof value; ++i)
            data.push_back(static_cast<std::uint8_t>(static_cast<std::uint64_t>(value) >> (8 * i)));
        return *this;
    }
    Writer& u8(std::uint8_t value) { return number(value); }
    Writer& u16(std::uint16_t value) { return number(value); }
    Writer& u32(std::uint32_t value) { return number(value); }
    Writer& u64(std::uint64_t value) { return number(value); }
    Writer& f64(double value) {
        std::uint64_t bits;
        std::memcpy(&bits, &value, sizeof bits);
        return number(bits);
    }
    template <class Range> Writer& f64s(const Range& values) {
        for (const double value : values) f64(value);
        return *this;
    }
    template <class Range> Writer& raw(const Range& bytes) {
        data.insert(data.end(), bytes.begin(), bytes.end());
        return *this;
    }
    Writer& text(const std::string& words, std::size_t size) {
        std::size_t used = std::min(words.size(), size);
        if (words.size() > size)  // cut at a whole UTF-8 character
            while (used > 0 && (static_cast<std::uint8_t>(words[used]) & 0xC0) == 0x80) --used;
        const std::size_t full = data.size() + size;
        data.insert(data.end(), words.begin(), words.begin() + static_cast<std::ptrdiff_t>(used));
        data.resize(full, 0);
        return *this;
    }
};

struct BadPacket : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// Takes numbers and texts out of a body.
class Reader {
public:
    explicit Reader(const Bytes& data) : data_(data) {}

    template <class Unsigned> Unsigned number() {
        std::uint64_t value = 0;
        for (std::size_t i = 0; i < sizeof(Unsigned); ++i) value |= std::uint64_t{byte()} << (8 * i);
        return static_cast<Unsigned>(value);
    }
    std::uint8_t u8() { return number<std::uint8_t>(); }
    std::uint16_t u16() { return number<std::uint16_t>(); }
    std::uint32_t u32() { return number<std::uint32_t>(); }
    std::uint64_t u64() { return number<std::uint64_t>(); }
    double f64() {
        const auto bits = u64();
        double value;
        std::memcpy(&value, &bits, sizeof value);
        return value;
    }
    float f32() {
        const auto bits = u32();
        float value;
        std::memcpy(&value, &bits, sizeof value);
        return value;
    }
    template <std::size_t N> void f32s(std::array<float, N>& out) {
        for (float& value : out) value = f32();
    }
    std::string text(std::size_t size) {
        std::string out;
        for (std::size_t i = 0; i < size; ++i) out.push_back(static_cast<char>(byte()));
        out.erase(out.find_last_not_of('\0') + 1);
        return out;
    }
    Bytes rest() {
        Bytes out(data_.begin() + static_cast<std::ptrdiff_t>(at_), data_.end());
        at_ = data_.size();
        return out;
    }
    void end() const {
        if (at_ != data_.size()) throw BadPacket("a body that is too long");
    }

private:
    std::uint8_t byte() {
        if (at_ == data_.size()) throw BadPacket("a body that is too short");
        return data_[at_++];
    }
    const Bytes& data_;
    std::size_t at_ = 0;
};

struct Frame {
    std::uint8_t kind = 0;
    std::uint64_t session = 0, sequence = 0;
    Bytes body;
};

inline Bytes seal(const Frame& frame, const Bytes& key) {
    if (frame.body.size() > kMostBody) throw std::length_error("a body has at most 1300 bytes");
    Writer out;
    out.raw(std::string("SBLK")).u8(kVersion).u8(frame.kind).u16(static_cast<std::uint16_t>(frame.body.size()));
    out.u64(frame.session).u64(frame.sequence).raw(frame.body);
    return out.raw(hmac_sha256(key, out.data.data(), out.data.size())).data;
}

inline Frame open_packet(const Bytes& data, const Bytes& key) {
    if (data.size() < kHeader + kCode || data.size() > kHeader + kMostBody + kCode) throw BadPacket("length");
    Reader in(data);
    if (in.text(4) != "SBLK") throw BadPacket("magic");
    const auto version = in.u8();
    Frame frame;
    frame.kind = in.u8();
    const std::size_t length = in.u16();
    if (data.size() != kHeader + length + kCode) throw BadPacket("length");
    frame.session = in.u64();
    frame.sequence = in.u64();
    const Digest code = hmac_sha256(key, data.data(), kHeader + length);
    std::uint8_t differs = 0;  // in constant time
    for (std::size_t i = 0; i < kCode; ++i) differs |= static_cast<std::uint8_t>(code[i] ^ data[kHeader + length + i]);
    if (differs) throw BadPacket("not made with this key, or damaged");
    if (version != kVersion) throw BadPacket("version");
    frame.body.assign(data.begin() + kHeader, data.end() - kCode);
    return frame;
}

struct Welcome {
    std::uint64_t nonce = 0, session = 0, table = 0;
    std::uint8_t version = 0, is_virtual = 0;
    std::uint16_t rate = 0, gains = 0;
    std::string robot, serial;

    static Welcome read(const Bytes& body) {
        Reader in(body);
        Welcome w;
        w.nonce = in.u64(), w.session = in.u64(), w.version = in.u8(), w.is_virtual = in.u8();
        w.rate = in.u16(), w.gains = in.u16(), w.table = in.u64();
        w.robot = in.text(32), w.serial = in.text(32);
        in.end();
        return w;
    }
};

struct Reply {
    std::uint32_t request = 0;
    std::uint8_t code = 0;
    std::uint64_t value = 0;
    std::string detail;
    Bytes data;

    static Reply read(const Bytes& body) {
        Reader in(body);
        Reply r;
        r.request = in.u32(), r.code = in.u8(), r.value = in.u64(), r.detail = in.text(160), r.data = in.rest();
        return r;
    }
};

struct State {
    double time = 0, elapsed = 0;
    std::uint32_t tick = 0, age = 0, latch = 0, epoch = 0;
    std::uint32_t accepted = 0, missed = 0, rejected = 0, overruns = 0, refused = 0;
    std::uint8_t state = 0, response = 0, cause = 0, backup = 255, outcome = 0, battery = 255, hottest = 255;
    std::uint64_t trial = 0, stop_seen = 0;
    std::array<float, 2> attitude{};
    std::array<float, 1> height{};
    std::array<float, 12> position{}, velocity{}, torque{}, target{};
    std::string message;

    static State read(const Bytes& body) {
        Reader in(body);
        State s;
        s.time = in.f64(), s.tick = in.u32(), s.age = in.u32();
        s.state = in.u8(), s.response = in.u8(), s.cause = in.u8(), s.backup = in.u8();
        s.latch = in.u32(), s.epoch = in.u32(), s.trial = in.u64(), s.outcome = in.u8();
        s.elapsed = in.f64(), s.stop_seen = in.u64();
        s.accepted = in.u32(), s.missed = in.u32(), s.rejected = in.u32(), s.overruns = in.u32(), s.refused = in.u32();
        s.battery = in.u8(), s.hottest = in.u8();
        in.f32s(s.attitude), in.f32s(s.height);
        in.f32s(s.position), in.f32s(s.velocity), in.f32s(s.torque), in.f32s(s.target);
        s.message = in.text(96);
        in.end();
        return s;
    }
};

}  // namespace sbl

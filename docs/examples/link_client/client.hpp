// One session with a guardian: Hello, heartbeats, requests with retries, State, Stop. One thread: heartbeats go out
// while something waits, so a client that hangs is silent, and the guardian takes over.
#pragma once

#include <arpa/inet.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <functional>
#include <random>

#include "wire.hpp"

namespace sbl {

constexpr double kHeartbeatPeriod = 0.02, kFirstRetry = 0.03, kLastRetry = 0.25, kPatience = 2.0;
constexpr std::uint16_t kEvery = 5;

struct LinkError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct Refused : LinkError {
    std::uint8_t code;
    Refused(const std::string& what, const Reply& reply)
        : LinkError("the guardian refuses " + what + ": " + reply.detail + " (code " + std::to_string(reply.code) +
                    ")"),
          code(reply.code) {}
};

inline double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

class Socket {
public:
    Socket(const std::string& host, const std::string& port) {
        addrinfo wanted{}, *found = nullptr;
        wanted.ai_family = AF_INET;
        wanted.ai_socktype = SOCK_DGRAM;
        if (const int error = getaddrinfo(host.c_str(), port.c_str(), &wanted, &found))
            throw LinkError(host + ":" + port + ": " + gai_strerror(error));
        handle_ = socket(AF_INET, SOCK_DGRAM, 0);
        const bool connected = handle_ >= 0 && connect(handle_, found->ai_addr, found->ai_addrlen) == 0;
        freeaddrinfo(found);
        if (!connected) {
            if (handle_ >= 0) close(handle_);
            throw LinkError(host + ":" + port + ": cannot be reached from here");
        }
    }
    ~Socket() {
        if (handle_ >= 0) close(handle_);
    }
    Socket(const Socket&) = delete;
    Socket& operator=(const Socket&) = delete;

    // A packet that cannot be sent is lost, as on the way.
    void send(const Bytes& data) const { (void)!::send(handle_, data.data(), data.size(), 0); }

    std::optional<Bytes> receive(double seconds) const {
        pollfd waiting{handle_, POLLIN, 0};
        if (poll(&waiting, 1, static_cast<int>(std::ceil(1e3 * std::max(0.0, seconds)))) <= 0) return {};
        Bytes data(2048);
        const auto size = recv(handle_, data.data(), data.size(), 0);
        if (size < 0) return {};
        data.resize(static_cast<std::size_t>(size));
        return data;
    }

private:
    int handle_ = -1;
};

class Client {
public:
    Client(const std::string& host, const std::string& port, Bytes key, std::string name)
        : socket_(host, port), key_(std::move(key)), name_(std::move(name)) {}

    Welcome welcome;
    State state;
    std::uint64_t newest = 0;  // sequence of `state`; 0: none yet
    std::uint32_t epoch = 0;
    std::function<void()> while_waiting = [] {};  // may throw, to give up

    void connect() {
        std::random_device random;
        const std::uint64_t nonce = std::uint64_t{random()} << 32 | random();
        const Bytes hello = Writer().u64(nonce).u8(kVersion).u8(kVersion).text(name_, 32).data;
        const double end = now() + kPatience;
        double due = 0, pause = kFirstRetry;
        while (now() < end) {
            if (now() >= due) {
                send(kHello, hello);
                due = now() + pause;
                pause = std::min(kLastRetry, 2 * pause);
            }
            const auto frame = receive(std::min(due, end) - now());
            if (!frame || frame->kind != kWelcome) continue;
            welcome = Welcome::read(frame->body);
            if (welcome.nonce != nonce) continue;
            session_ = welcome.session;
            sequence_ = 0;
            return;
        }
        throw LinkError("no guardian answers: is it running there, with this key and protocol version 1?");
    }

    // Listen and keep alive for so long.
    void pump(double seconds) {
        const double end = now() + seconds;
        while (now() < end) {
            while_waiting();
            keep_alive();
            receive(std::min(end, beat_ + kHeartbeatPeriod) - now());
        }
    }

    void pump_until(const std::function<bool()>& done, double patience, const std::string& otherwise) {
        const double end = now() + patience;
        while (!done()) {
            if (now() > end) throw LinkError(otherwise + describe());
            pump(kHeartbeatPeriod / 4);
        }
    }

    // Wait for the first State of the session.
    void look() {
        pump_until([this] { return newest > 0; }, kPatience, "no State came:");
    }

    // Wait for a state; a latch on the way there is an error.
    void wait_for(std::uint8_t wanted, double patience) {
        pump_until(
            [&] {
                if (state.latch) throw LinkError("the guardian has latched:" + describe());
                return state.state == wanted;
            },
            patience, std::string("the state did not become ") + state_name(wanted) + ":");
    }

    // One request, sent until it is answered. `what` is for people.
    Reply ask(Kind kind, const std::string& what, const Bytes& body = {}) {
        const std::uint32_t request = ++request_;
        const Bytes whole = Writer().u32(request).u32(epoch).raw(body).data;
        const double end = now() + kPatience;
        double due = 0, pause = kFirstRetry;
        while (now() < end) {
            if (now() >= due) {
                send(kind, whole);
                due = now() + pause;
                pause = std::min(kLastRetry, 2 * pause);
            }
            keep_alive();
            const auto frame = receive(std::min(due, beat_ + kHeartbeatPeriod) - now());
            if (!frame || frame->kind != kReply) continue;
            const Reply reply = Reply::read(frame->body);
            if (reply.request != request) continue;
            if (reply.code != kOk) throw Refused(what, reply);
            return reply;
        }
        throw LinkError(what + " was not answered: whether it was done is not known");
    }

    // A client that died holds the lease for a second more: ask for longer than that.
    void acquire() {
        const Bytes name = Writer().text(name_, 32).data;
        for (const double end = now() + 1.5;;) {
            try {
                epoch = static_cast<std::uint32_t>(ask(kAcquireLease, "the lease", name).value);
                return;
            } catch (const Refused& refusal) {
                if (refusal.code != kLeaseHeld || now() > end) throw;
            }
            pump(0.1);
        }
    }

    // Software stop, sent until a State shows it; whether one did.
    bool stop(std::uint8_t level, const std::string& reason) {
        const std::uint64_t first = sequence_ + 1;
        const Bytes body = Writer().u8(level).text(reason, 64).data;
        for (const double end = now() + kPatience; now() < end;) {
            send(kStop, body);
            pump(kHeartbeatPeriod);
            if (state.stop_seen >= first) return true;
        }
        return false;
    }

    std::string describe() const {
        return std::string(" state ") + state_name(state.state) + ", cause " + std::to_string(state.cause) +
               (state.message.empty() ? "" : " (" + state.message + ")");
    }

private:
    void send(Kind kind, const Bytes& body) { socket_.send(seal({kind, session_, ++sequence_, body}, key_)); }

    void keep_alive() {
        if (now() - beat_ < kHeartbeatPeriod) return;
        beat_ = now();
        send(kHeartbeat, Writer().u32(epoch).u64(newest).u16(kEvery).data);
    }

    // The next packet that is for us; a State is kept.
    std::optional<Frame> receive(double seconds) {
        const auto data = socket_.receive(seconds);
        if (!data) return {};
        try {
            Frame frame = open_packet(*data, key_);
            if (frame.kind != kWelcome && frame.session != session_) return {};
            if (frame.kind == kState && frame.sequence > newest) {
                state = State::read(frame.body);
                newest = frame.sequence;
            }
            return frame;
        } catch (const BadPacket&) {
            return {};
        }
    }

    Socket socket_;
    Bytes key_;
    std::string name_;
    std::uint64_t session_ = 0, sequence_ = 0;
    std::uint32_t request_ = 0;
    double beat_ = 0;
};

}  // namespace sbl

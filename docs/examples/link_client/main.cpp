// A client of safebo-guardian in C++17, written from docs/link.md alone. No library beyond the system's sockets.
//
//   link_client [--host H] [--port P] [--key FILE] COMMAND
//     state                      how everything stands
//     walk [--stiffness N] [--seconds S] [--abort-after S] [--trial N]
//                                stand up, send gains, read them back, arm, walk, end, lie down
//     stop [--level N]           software stop: 1 baseline gains, 2 stand down, 3 joint damping
//     clear                      acknowledge and clear what is latched, after asking
//     vectors, decode            the test vectors of the page; packets under its key, as digits, line by line, as text
//
// Exit codes: 0 done, 1 the guardian refused or did not answer, 2 bad input.

#include <sys/stat.h>

#include <cinttypes>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <map>

#include "client.hpp"
#include "vectors.hpp"

namespace {

using namespace sbl;

struct BadInput : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// The order of gains that this client knows: docs/link.md, "Gains". Gain 0 is joint.hip.kp, N m/rad.
constexpr std::uint64_t kTable = 0x768828279455ab83;
constexpr std::size_t kHipStiffness = 0;
constexpr std::uint16_t kAtWork = 65535;
constexpr std::size_t kRow = 1008;  // bytes of telemetry per tick

volatile std::sig_atomic_t interrupted = 0;

void on_interrupt(int) { interrupted = 1; }

using Options = std::map<std::string, std::string>;

double number_of(const Options& options, const std::string& name) {
    const std::string& words = options.at(name);
    try {
        std::size_t used = 0;
        const double value = std::stod(words, &used);
        if (used == words.size() && std::isfinite(value) && value >= 0) return value;
    } catch (const std::logic_error&) {
    }
    throw BadInput("--" + name + ": expected a number of at least 0, got '" + words + "'");
}

Bytes read_key(const std::string& path) {
    struct stat about {};
    if (stat(path.c_str(), &about) != 0) throw BadInput("key " + path + ": no such file");
    if (about.st_mode & 077) throw BadInput("key " + path + ": others can read it; use chmod 600");
    std::ifstream file(path);
    std::string digits;
    file >> digits;
    try {
        Bytes key = unhex(digits);
        if (key.size() < 16) throw std::invalid_argument("needs at least 16 bytes");
        return key;
    } catch (const std::invalid_argument& error) {
        throw BadInput("key " + path + ": " + error.what());
    }
}

void print_state(const Client& client) {
    const State& s = client.state;
    const Welcome& w = client.welcome;
    std::printf("%s %s, serial %s, %u gains, table 0x%016" PRIx64 "\n", w.is_virtual ? "virtual" : "PHYSICAL",
                w.robot.c_str(), w.serial.c_str(), w.gains, w.table);
    std::printf("state %s, response %u, cause %u, latch %u, lease %u, trial %" PRIu64 ", outcome %u\n",
                state_name(s.state), s.response, s.cause, s.latch, s.epoch, s.trial, s.outcome);
    const double height = s.height[0], roll = s.attitude[0], pitch = s.attitude[1];
    std::printf("battery %u %%, hottest motor %u C, height %.3f m, roll %.3f, pitch %.3f rad, "
                "robot heard %.1f ms ago%s%s\n",
                s.battery, s.hottest, height, roll, pitch, s.age / 1e3, s.message.empty() ? "" : ": ", s.message.c_str());
}

void say(const std::string& words) { std::cout << words << std::endl; }

Bytes slot(std::uint16_t number) { return Writer().u16(number).data; }

// The baseline with another stiffness of the hips: sent, verified by its digest, and read back.
std::vector<double> send_gains(Client& client, double stiffness) {
    const Reply baseline = client.ask(kGetGains, "the gains at work", slot(kAtWork));
    std::vector<double> gains(client.welcome.gains);
    Reader in(baseline.data);
    for (double& gain : gains) gain = in.f64();
    in.end();
    gains[kHipStiffness] = stiffness;
    const Bytes packed = Writer().f64s(gains).data;
    const Reply held = client.ask(kSetGains, "the gains", Writer().u16(0).u64(client.welcome.table).raw(packed).data);
    const Digest digest = sha256(packed);
    if (held.data != Bytes(digest.begin(), digest.end())) throw LinkError("the guardian holds other gains than sent");
    const Reply read_back = client.ask(kGetGains, "the gains", slot(0));
    if (read_back.data != packed) throw LinkError("other gains are read back than were sent");
    return gains;
}

std::uint64_t arm(Client& client, std::uint64_t trial, const Digest& digest) {
    const Bytes body = Writer().u64(trial).raw(digest).data;
    for (const double end = now() + 10.0;;) {
        try {
            return client.ask(kArm, "arming", body).value;
        } catch (const Refused& refusal) {
            if (refusal.code != kNotReady || now() > end) throw;
        }
        client.pump(0.1);
    }
}

// Telemetry of the trial, one piece after the other (several at once would be faster).
Bytes fetch(Client& client, std::uint64_t trial) {
    const auto piece = [&](std::size_t offset, std::size_t length) {
        Writer body;
        body.u64(trial).u32(static_cast<std::uint32_t>(offset)).u16(static_cast<std::uint16_t>(length));
        return client.ask(kFetch, "telemetry", body.data);
    };
    Bytes out;
    for (const std::size_t total = piece(0, 0).value; out.size() < total;) {
        const Reply reply = piece(out.size(), kPiece);
        if (reply.data.empty()) throw LinkError("telemetry ends before it is whole");
        out.insert(out.end(), reply.data.begin(), reply.data.end());
    }
    return out;
}

void run_trial(Client& client, const Options& options) {
    const auto trial = static_cast<std::uint64_t>(number_of(options, "trial"));
    client.ask(kStand, "standing up");
    client.wait_for(kHold, 10.0);
    say("standing");

    client.ask(kResetTrial, "a new trial");
    const std::vector<double> gains = send_gains(client, number_of(options, "stiffness"));
    // a trot; walk forward at 0.2 m/s, reached in 0.3 s, after 0.1 s of standing
    const Bytes walk = Writer().f64s(std::vector<double>{0.5, 0.5, 0.5, 0.5, 0.0, 0.2, 0.0, 0.0, 0.3, 0.1}).data;
    client.ask(kSetWalk, "the walk", walk);
    say("gains held as sent");

    const std::uint64_t token = arm(client, trial, trial_digest(client.welcome.table, gains, walk));
    say("armed");
    client.ask(kStart, "the start", Writer().u64(token).f64(number_of(options, "seconds")).data);
    client.wait_for(kRunning, 1.0);
    say("running");
    if (options.count("abort-after")) {
        client.pump(number_of(options, "abort-after"));
        client.ask(kAbort, "the end", Writer().u64(trial).data);
    }
    client.wait_for(kHold, number_of(options, "seconds") + 5.0);
    say("trial over, outcome " + std::to_string(client.state.outcome));
    const Bytes rows = fetch(client, trial);
    say("telemetry of " + std::to_string(rows.size() / kRow) + " ticks");
}

void lie_down(Client& client) {
    client.ask(kLieDown, "lying down");
    client.wait_for(kRest, 5.0);
    client.ask(kReleaseLease, "giving the lease back");
    say("lying");
}

struct Interrupted {};

void walk(Client& client, const Options& options) {
    if (client.welcome.table != kTable) throw LinkError("this guardian has other gains than this client knows");
    client.acquire();
    say("lease of epoch " + std::to_string(client.epoch));
    client.while_waiting = [] {
        if (interrupted) throw Interrupted();
    };
    std::signal(SIGINT, on_interrupt);
    try {
        run_trial(client, options);
    } catch (const Interrupted&) {
        say("interrupted");
    } catch (const Refused&) {
        // nothing has changed, and the link is up: no reason to leave the robot standing
        client.while_waiting = [] {};
        if (client.state.state != kRest && !client.state.latch) lie_down(client);
        throw;
    }
    client.while_waiting = [] {};
    lie_down(client);
}

void clear(Client& client) {
    if (!client.state.latch) throw LinkError("nothing is latched");
    say("latch " + std::to_string(client.state.latch) + ":" + client.describe());
    say("Has its cause gone, and may the robot be used again? Type yes:");
    std::string answer;
    if (!std::getline(std::cin, answer) || answer != "yes") throw LinkError("not cleared");
    client.acquire();
    client.pump(0.1);  // the lease's holder lives
    const Reply seen = client.ask(kAcknowledge, "acknowledging", Writer().u32(client.state.latch).data);
    client.ask(kClear, "clearing", Writer().u64(seen.value).data);
    client.pump(0.1);
    print_state(client);
    // nobody will be there to keep a standing robot up: it lies down now, rather than out of our silence
    client.ask(kReleaseLease, "giving the lease back");
}

void decode() {
    for (std::string line; std::getline(std::cin, line);) {
        try {
            say(described(open_packet(unhex(line), example_key())));
        } catch (const BadPacket& error) {
            throw BadInput(std::string("no packet: ") + error.what());
        } catch (const std::invalid_argument& error) {
            throw BadInput(std::string("no packet: ") + error.what());
        }
    }
}

// A stop goes out at once, before anything has been seen.
void stop(Client& client, double level) {
    if (!client.stop(static_cast<std::uint8_t>(level), "asked for at link_client"))
        throw LinkError("NO ANSWER TO THE STOP: USE THE REMOTE");
    say("stopped:" + client.describe());
}

void speak(const std::string& command, const Options& options) {
    const double level = number_of(options, "level");
    if (level != 1 && level != 2 && level != 3) throw BadInput("--level: 1, 2 or 3");
    Client client(options.at("host"), options.at("port"), read_key(options.at("key")), "link_client " + command);
    client.connect();
    if (command == "stop") return stop(client, level);
    client.look();
    if (command == "state") {
        print_state(client);
    } else if (command == "walk") {
        walk(client, options);
    } else {
        clear(client);
    }
}

}  // namespace

int main(int count, char** words) {
    const char* home = std::getenv("HOME");
    Options options{{"host", "127.0.0.1"}, {"port", "4750"},
                    {"key", std::string(home ? home : ".") + "/.config/safebo/link.key"},
                    {"stiffness", "65"}, {"seconds", "2"}, {"trial", "1"}, {"level", "3"}};
    std::string command;
    try {
        for (int i = 1; i < count; ++i) {
            const std::string word = words[i];
            if (word.rfind("--", 0) == 0) {
                const std::string name = word.substr(2);
                if (!options.count(name) && name != "abort-after") throw BadInput("unknown option " + word);
                if (++i == count) throw BadInput(word + " needs a value");
                options[name] = words[i];
            } else if (command.empty()) {
                command = word;
            } else {
                throw BadInput("one command at a time");
            }
        }
        if (command == "vectors") {
            print_vectors();
        } else if (command == "decode") {
            decode();
        } else if (command == "state" || command == "walk" || command == "stop" || command == "clear") {
            speak(command, options);
        } else {
            throw BadInput("commands: state, walk, stop, clear, vectors, decode");
        }
    } catch (const BadInput& error) {
        std::cerr << "error: " << error.what() << '\n';
        return 2;
    } catch (const std::exception& error) {
        std::cerr << "error: " << error.what() << '\n';
        return 1;
    }
    return 0;
}

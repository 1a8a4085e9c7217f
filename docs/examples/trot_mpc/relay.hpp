// What any controller needs around it: the two datagrams of docs/adapters.md, a file of gains, and the answering.
#pragma once

#include <arpa/inet.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <iostream>
#include <random>
#include <string>
#include <vector>

#include "../link_client/sha256.hpp"

namespace relay {

#pragma pack(push, 1)
struct State {
    char magic[4];
    std::uint8_t mode, gain_set;  // mode 0 standby, 1 settle, 2 walk, 3 brake
    std::uint16_t zero;
    std::uint64_t tick;
    double time, velocity[3], duty, stride, offset_fl, offset_rr, offset_rl, settle;
    double q[12], qd[12], orientation[4], rate[3], force[3];
};
struct Answer {
    char magic[4];
    std::uint32_t instance;
    std::uint64_t tick, gains;
    double q[12], qd[12], torque[12], kp[12], kd[12], position[3], orientation[4], velocity[3], rate[3];
};
#pragma pack(pop)
static_assert(sizeof(State) == 368 && sizeof(Answer) == 608);

// Numbers of a file with a line `name: number` for each of the names; those that are not there are NaN.
inline std::vector<double> read_gains(const char* path, const std::vector<std::string>& names) {
    std::vector<double> gains(names.size(), NAN);
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);)
        for (std::size_t i = 0; i < names.size(); ++i)
            if (line.rfind(names[i] + ":", 0) == 0) gains[i] = std::stod(line.substr(names[i].size() + 1));
    return gains;
}

// Read the gains, make the controller with them, and let its `step(state, answer)` answer every state for good.
template <class Controller, class Make>
int answer(const char* path, const char* port, const std::vector<std::string>& names, Make make) {
    const std::vector<double> gains = read_gains(path, names);
    for (std::size_t i = 0; i < names.size(); ++i)
        if (!std::isfinite(gains[i])) return std::cerr << path << ": no number at " << names[i] << "\n", 2;
    Controller controller = make(gains);
    Answer out{};
    std::memcpy(out.magic, "SBa1", 4);
    out.instance = std::random_device()() | 1u;
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(gains.data());  // little-endian machines
    const auto digest = sbl::sha256(sbl::Bytes(bytes, bytes + 8 * gains.size()));
    std::memcpy(&out.gains, digest.data(), 8);
    const int link = socket(AF_INET, SOCK_DGRAM, 0);
    sockaddr_in here{}, from{};
    here.sin_family = AF_INET;
    here.sin_port = htons(static_cast<std::uint16_t>(std::stoi(port)));
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(link, reinterpret_cast<sockaddr*>(&here), sizeof here) != 0) return std::perror(port), 1;
    for (State state;;) {
        socklen_t size = sizeof from;
        const auto got = recvfrom(link, &state, sizeof state, 0, reinterpret_cast<sockaddr*>(&from), &size);
        if (got != sizeof state || std::memcmp(state.magic, "SBs1", 4) != 0) continue;
        controller.step(state, out);
        out.tick = state.tick;
        sendto(link, &out, sizeof out, 0, reinterpret_cast<sockaddr*>(&from), size);
    }
}

}  // namespace relay

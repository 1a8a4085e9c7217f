// SHA-256 (FIPS 180-4) and HMAC-SHA256 (RFC 2104), so that the client needs no library.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace sbl {

using Bytes = std::vector<std::uint8_t>;
using Digest = std::array<std::uint8_t, 32>;

class Sha256 {
public:
    void update(const std::uint8_t* data, std::size_t size) {
        length_ += size;
        for (std::size_t i = 0; i < size; ++i) {
            block_[used_++] = data[i];
            if (used_ == block_.size()) {
                compress();
                used_ = 0;
            }
        }
    }

    Digest finish() {
        const std::uint64_t bits = 8 * length_;
        std::uint8_t byte = 0x80;
        update(&byte, 1);
        byte = 0;
        while (used_ != 56) update(&byte, 1);
        for (int i = 7; i >= 0; --i) {
            byte = static_cast<std::uint8_t>(bits >> (8 * i));
            update(&byte, 1);
        }
        Digest out{};
        for (std::size_t i = 0; i < out.size(); ++i)
            out[i] = static_cast<std::uint8_t>(state_[i / 4] >> (24 - 8 * (i % 4)));
        return out;
    }

private:
    static std::uint32_t turn(std::uint32_t x, int n) { return (x >> n) | (x << (32 - n)); }

    void compress() {
        static constexpr std::uint32_t k[64] = {
            0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
            0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
            0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
            0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
            0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
            0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
            0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
            0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
        std::uint32_t w[64];
        for (std::size_t i = 0; i < 16; ++i)
            w[i] = std::uint32_t{block_[4 * i]} << 24 | std::uint32_t{block_[4 * i + 1]} << 16 |
                   std::uint32_t{block_[4 * i + 2]} << 8 | std::uint32_t{block_[4 * i + 3]};
        for (int i = 16; i < 64; ++i) {
            const std::uint32_t s0 = turn(w[i - 15], 7) ^ turn(w[i - 15], 18) ^ (w[i - 15] >> 3);
            const std::uint32_t s1 = turn(w[i - 2], 17) ^ turn(w[i - 2], 19) ^ (w[i - 2] >> 10);
            w[i] = w[i - 16] + s0 + w[i - 7] + s1;
        }
        std::array<std::uint32_t, 8> v = state_;
        for (int i = 0; i < 64; ++i) {
            const std::uint32_t s1 = turn(v[4], 6) ^ turn(v[4], 11) ^ turn(v[4], 25);
            const std::uint32_t choice = (v[4] & v[5]) ^ (~v[4] & v[6]);
            const std::uint32_t one = v[7] + s1 + choice + k[i] + w[i];
            const std::uint32_t s0 = turn(v[0], 2) ^ turn(v[0], 13) ^ turn(v[0], 22);
            const std::uint32_t most = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);
            v = {one + s0 + most, v[0], v[1], v[2], v[3] + one, v[4], v[5], v[6]};
        }
        for (std::size_t i = 0; i < 8; ++i) state_[i] += v[i];
    }

    std::array<std::uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                        0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    std::array<std::uint8_t, 64> block_{};
    std::size_t used_ = 0;
    std::uint64_t length_ = 0;
};

inline Digest sha256(const Bytes& data) {
    Sha256 hash;
    hash.update(data.data(), data.size());
    return hash.finish();
}

inline Digest hmac_sha256(const Bytes& key, const std::uint8_t* data, std::size_t size) {
    std::array<std::uint8_t, 64> block{};
    if (key.size() > block.size()) {
        const Digest shorter = sha256(key);
        for (std::size_t i = 0; i < shorter.size(); ++i) block[i] = shorter[i];
    } else {
        for (std::size_t i = 0; i < key.size(); ++i) block[i] = key[i];
    }
    for (auto& byte : block) byte ^= 0x36;
    Sha256 inner;
    inner.update(block.data(), block.size());
    inner.update(data, size);
    const Digest first = inner.finish();
    for (auto& byte : block) byte ^= 0x36 ^ 0x5c;
    Sha256 outer;
    outer.update(block.data(), block.size());
    outer.update(first.data(), first.size());
    return outer.finish();
}

}  // namespace sbl

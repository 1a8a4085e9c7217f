// A locomotion controller of its own in one file: predictive control of the trunk, swing feet, leg odometry.
//
//     g++ -O2 -std=c++17 -o trot_mpc trot_mpc.cpp
//     ./trot_mpc gains.yaml 4760 go2
//
// It answers the state datagrams of docs/adapters.md; who sends them, a simulation or a guardian, it cannot tell.
// The trunk is one rigid body (Di Carlo et al., IROS 2018: small angles, forces of the planned stance feet as inputs).
// Without inequalities the predictive control problem over STEPS steps is one backward Riccati recursion; its first
// forces are then clipped to the friction pyramid. Frames: W world, B trunk, H heading (at the trunk, yaw alone).
// Legs FL, FR, RL, RR; joints hip, thigh, calf. SI units.
#include <algorithm>
#include <array>
#include <cmath>
#include <iostream>
#include <map>

#include "relay.hpp"

using relay::Answer, relay::State;

// small matrices
template <int N, int M> struct Mat : std::array<std::array<double, M>, N> {};
using Vec3 = std::array<double, 3>;

template <int N, int K, int M> Mat<N, M> operator*(const Mat<N, K>& x, const Mat<K, M>& y) {
    Mat<N, M> out{};
    for (int i = 0; i < N; ++i)
        for (int k = 0; k < K; ++k)
            for (int j = 0; j < M && x[i][k] != 0.0; ++j) out[i][j] += x[i][k] * y[k][j];
    return out;
}
template <int N, int M> Mat<N, M> operator-(Mat<N, M> x, const Mat<N, M>& y) {
    for (int i = 0; i < N; ++i)
        for (int j = 0; j < M; ++j) x[i][j] -= y[i][j];
    return x;
}
template <int N, int M> Mat<M, N> transposed(const Mat<N, M>& x) {
    Mat<M, N> out{};
    for (int i = 0; i < N; ++i)
        for (int j = 0; j < M; ++j) out[j][i] = x[i][j];
    return out;
}
template <int N, int M> Mat<N, M> solved(Mat<N, N> x, Mat<N, M> y) {  // x is positive definite: no pivots
    for (int k = 0; k < N; ++k)
        for (int i = 0; i < N; ++i) {
            const double f = i == k ? 0.0 : x[i][k] / x[k][k];
            for (int j = k; j < N; ++j) x[i][j] -= f * x[k][j];
            for (int j = 0; j < M; ++j) y[i][j] -= f * y[k][j];
        }
    for (int i = 0; i < N; ++i)
        for (double& value : y[i]) value /= x[i][i];
    return y;
}
Vec3 operator+(const Vec3& x, const Vec3& y) { return {x[0] + y[0], x[1] + y[1], x[2] + y[2]}; }
Vec3 operator*(double s, const Vec3& x) { return {s * x[0], s * x[1], s * x[2]}; }
Vec3 operator-(const Vec3& x, const Vec3& y) { return x + -1.0 * y; }
Vec3 operator*(const Mat<3, 3>& m, const Vec3& x) {
    const auto row = [&](int i) { return m[i][0] * x[0] + m[i][1] * x[1] + m[i][2] * x[2]; };
    return {row(0), row(1), row(2)};
}
Vec3 cross(const Vec3& x, const Vec3& y) {
    return {x[1] * y[2] - x[2] * y[1], x[2] * y[0] - x[0] * y[2], x[0] * y[1] - x[1] * y[0]};
}

// robots
constexpr double LINK = 0.213, GRAVITY = 9.81, DT = 0.03, FRICTION = 0.5, RATE = 500.0;
constexpr int STEPS = 12;

struct Robot {
    double mass, hip_x, hip_y, side, foot, height;
    Vec3 centre, inertia;  // of all of it in the home pose
};
const std::map<std::string, Robot> ROBOTS = {
    {"go1", {12.74, 0.1881, 0.04675, 0.08, 0.023, 0.27, {-0.002, 0.0, -0.019}, {0.126, 0.394, 0.423}}},
    {"go2", {15.21, 0.1934, 0.0465, 0.0955, 0.022, 0.27, {-0.002, 0.0, -0.021}, {0.170, 0.484, 0.537}}},
};

struct Leg {
    Vec3 hip;
    double side;
    Vec3 foot(const double* q) const {  // in B
        const double x = -LINK * (std::sin(q[1]) + std::sin(q[1] + q[2]));
        const double z = -LINK * (std::cos(q[1]) + std::cos(q[1] + q[2]));
        const double c = std::cos(q[0]), s = std::sin(q[0]);
        return hip + Vec3{x, side * c - z * s, side * s + z * c};
    }
    Mat<3, 3> jacobian(const double* q) const {
        const Vec3 p = foot(q) - hip;
        const double c = std::cos(q[0]), s = std::sin(q[0]), z = -LINK * (std::cos(q[1]) + std::cos(q[1] + q[2]));
        const double a = -LINK * std::cos(q[1] + q[2]), b = LINK * std::sin(q[1] + q[2]);
        return {{{{0.0, z, a}, {-p[2], p[0] * s, -b * s}, {p[1], -p[0] * c, b * c}}}};
    }
    Vec3 joints(const Vec3& foot) const {  // knee backward; a foot out of reach is brought nearer
        const Vec3 p = foot - hip;
        const double z = -std::sqrt(std::max(1e-4, p[1] * p[1] + p[2] * p[2] - side * side));
        const double d = (p[0] * p[0] + z * z) / (2.0 * LINK * LINK) - 1.0;
        const double knee = -std::acos(std::clamp(d, -0.95, 0.95));
        const double thigh =
            std::atan2(-p[0], -z) - std::atan2(LINK * std::sin(knee), LINK * (1.0 + std::cos(knee)));
        return {std::atan2(p[2], p[1]) - std::atan2(z, side), thigh, knee};
    }
};

// gains, in the order of the controller file
const std::vector<std::string> NAMES = {"stance.kp", "stance.kd", "swing.kp", "swing.kd", "mpc.attitude", "mpc.height",
                                        "mpc.velocity", "mpc.force", "foothold.velocity_gain", "swing.apex_height"};
enum Gain { STANCE_KP, STANCE_KD, SWING_KP, SWING_KD, ATTITUDE, HEIGHT, VELOCITY, FORCE, FOOTHOLD, APEX };

// the controller
class TrotMpc {
public:
    TrotMpc(const Robot& robot, const std::vector<double>& gains) : robot_(robot), gains_(gains) {
        for (int i = 0; i < 4; ++i) {
            const double left = i % 2 == 0 ? 1.0 : -1.0, front = i < 2 ? 1.0 : -1.0;
            legs_[i] = {{front * robot.hip_x, left * robot.hip_y, 0.0}, left * robot.side};
            home_[i] = {front * robot.hip_x, left * (robot.hip_y + robot.side), -(robot.height - robot.foot)};
        }
    }

    void step(const State& s, Answer& out) {
        if (s.mode == 0 || (s.mode == 1 && s.time == 0.0)) fresh_ = true;
        estimate(s);
        const double t = s.mode == 0 ? -1.0 : s.time - s.settle;
        const bool walks = s.mode >= 2 && t >= -1e-9 && s.duty < 1.0;
        offset_ = {s.offset_fl, 0.0, s.offset_rl, s.offset_rr};
        Vec3 wanted = {s.velocity[0], s.velocity[1], 0.0};  // in H
        for (int k = 0; k < 2 && s.mode == 1; ++k) {  // over the middle of the feet before one of them lifts
            double away = 0.0;
            for (int i = 0; i < 4; ++i) away += 0.25 * (foot_[i][k] - home_[i][k]);
            wanted[k] = std::clamp(6.0 * away, -0.15, 0.15);
        }
        reference_yaw_ = std::clamp(reference_yaw_ + s.velocity[2] / RATE, yaw_ - 0.2, yaw_ + 0.2);
        for (int i = 0; i < 4; ++i) {
            const double phase = walks ? phase_of(t, i, s) : 0.0;
            const bool stands = phase < s.duty || !walks, before = stood_[i] && !fresh_;
            if (stands != before) (stands ? target_ : lifted_)[i] = foot_[i];  // touchdown, lift-off
            stood_[i] = stands;
            if (stands) stand(i, wanted, s, out);
            else swing(i, (phase - s.duty) / (1.0 - s.duty), wanted, s, out);
        }
        forces(t, walks, wanted, s, out);
        std::copy_n(s.orientation, 4, out.orientation), std::copy_n(s.rate, 3, out.rate);
        std::copy_n(position_.data(), 3, out.position), std::copy_n(velocity_.data(), 3, out.velocity);
        fresh_ = false;
    }

private:
    // Attitude from the inertial unit; velocity from the standing feet, between them from the specific force.
    void estimate(const State& s) {
        const double* o = s.orientation;
        const double w = o[0], x = o[1], y = o[2], z = o[3];
        body_ = {{{{1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)},
                   {2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)},
                   {2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)}}}};
        yaw_ += std::remainder(std::atan2(body_[1][0], body_[0][0]) - yaw_, 2.0 * M_PI);
        const double c = std::cos(yaw_), n = std::sin(yaw_);
        heading_ = {{{{c, -n, 0}, {n, c, 0}, {0, 0, 1}}}};
        level_ = transposed(heading_) * body_;  // B to H
        roll_ = std::atan2(body_[2][1], body_[2][2]);
        pitch_ = std::asin(std::clamp(-body_[2][0], -1.0, 1.0));
        const Vec3 rate = {s.rate[0], s.rate[1], s.rate[2]}, force = {s.force[0], s.force[1], s.force[2]};
        if (fresh_) position_ = velocity_ = {}, reference_yaw_ = yaw_, stood_ = {true, true, true, true};
        Vec3 legs{};
        double height = 0.0, count = 0.0;
        for (int i = 0; i < 4; ++i) {
            const Vec3 p = legs_[i].foot(s.q + 3 * i);
            foot_[i] = level_ * p;
            if (!stood_[i]) continue;
            const Vec3 joints = {s.qd[3 * i], s.qd[3 * i + 1], s.qd[3 * i + 2]};
            legs = legs - body_ * (legs_[i].jacobian(s.q + 3 * i) * joints + cross(rate, p));
            height += robot_.foot - foot_[i][2];
            count += 1.0;
        }
        velocity_ = velocity_ + 1.0 / RATE * (body_ * force - Vec3{0, 0, GRAVITY});
        position_ = position_ + 1.0 / RATE * velocity_;
        const double trust = count == 0.0 ? 0.0 : fresh_ ? 1.0 : 0.05;
        velocity_ = velocity_ + trust * (1.0 / std::max(1.0, count) * legs - velocity_);
        position_[2] += trust * (height / std::max(1.0, count) - position_[2]);
        speed_ = transposed(heading_) * velocity_;  // in H
        turning_ = level_ * rate;
    }

    double phase_of(double t, int leg, const State& s) const {
        const double turns = t / s.stride + offset_[leg];
        return turns - std::floor(turns + 1e-9);
    }

    void command(int i, const Vec3& foot, const Vec3& foot_speed, double kp, double kd, const State& s, Answer& out) {
        const Mat<3, 3> from = transposed(level_);
        const Vec3 p = from * foot, v = from * foot_speed - cross({s.rate[0], s.rate[1], s.rate[2]}, p);
        const Vec3 q = legs_[i].joints(p);
        const Mat<3, 3> j = legs_[i].jacobian(q.data());
        Mat<3, 3> square = transposed(j) * j;
        for (int k = 0; k < 3; ++k) square[k][k] += 1e-6;
        const Mat<3, 1> speeds = solved(square, transposed(j) * Mat<3, 1>{{{{v[0]}, {v[1]}, {v[2]}}}});
        for (int k = 0, n = 3 * i; k < 3; ++k, ++n) {
            out.q[n] = q[k], out.qd[n] = std::clamp(speeds[k][0], -20.0, 20.0);
            out.kp[n] = kp, out.kd[n] = kd, out.torque[n] = 0.0;
        }
    }

    // A standing foot moves against the trunk's wanted motion, from where it touched down.
    void stand(int i, const Vec3& wanted, const State& s, Answer& out) {
        const Vec3 v = -1.0 * (wanted + cross({0.0, 0.0, s.velocity[2]}, foot_[i]));
        const Vec3 away = target_[i] + 1.0 / RATE * v - foot_[i];
        for (int k = 0; k < 2; ++k) target_[i][k] = foot_[i][k] + std::clamp(away[k], -0.03, 0.03);
        target_[i][2] = robot_.foot - robot_.height;
        command(i, target_[i], v, gains_[STANCE_KP], gains_[STANCE_KD], s, out);
    }

    void swing(int i, double share, const Vec3& wanted, const State& s, Answer& out) {
        const double swing = (1.0 - s.duty) * s.stride, up = std::sin(M_PI * share);
        const Vec3 turn = cross({0.0, 0.0, s.velocity[2]}, home_[i]);
        Vec3 end = home_[i] + 0.5 * s.duty * s.stride * (wanted + turn) + gains_[FOOTHOLD] * (speed_ - wanted);
        for (int k = 0; k < 2; ++k) end[k] = home_[i][k] + std::clamp(end[k] - home_[i][k], -0.15, 0.15);
        const double x = share * share * (3.0 - 2.0 * share), dx = 6.0 * share * (1.0 - share) / swing;
        Vec3 p = lifted_[i] + x * (end - lifted_[i]), v = dx * (end - lifted_[i]);
        p[2] = robot_.foot - position_[2] + gains_[APEX] * up * up;
        v[2] = gains_[APEX] * M_PI / swing * std::sin(2.0 * M_PI * share) - speed_[2];
        command(i, p, v, gains_[SWING_KP], gains_[SWING_KD], s, out);
    }

    // x = roll, pitch, yaw, position, angular velocity, velocity (errors in H), 1; u = forces beyond an even share.
    void forces(double t, bool walks, const Vec3& wanted, const State& s, Answer& out) {
        Mat<13, 13> a{}, value{};
        const double weights[13] = {gains_[ATTITUDE], gains_[ATTITUDE], gains_[ATTITUDE], 0, 0, gains_[HEIGHT],
                                    0.05, 0.05, 0.3, gains_[VELOCITY], gains_[VELOCITY], 0.1 * gains_[VELOCITY], 0};
        for (int k = 0; k < 13; ++k) a[k][k] = 1.0, value[k][k] = weights[k];
        for (int k = 0; k < 6; ++k) a[k][k + 6] = DT;
        Mat<12, 13> feedback{};
        double share = 0.0;
        for (int step = STEPS - 1; step >= 0; --step) {
            std::array<bool, 4> stands = stood_;
            for (int i = 0; i < 4 && step > 0 && walks; ++i) stands[i] = phase_of(t + (step + 0.5) * DT, i, s) < s.duty;
            const double count = stands[0] + stands[1] + stands[2] + stands[3];
            share = count > 0.0 ? robot_.mass * GRAVITY / count : 0.0;
            Mat<13, 12> b{};
            Mat<13, 13> moved = a;
            moved[11][12] = count > 0.0 ? 0.0 : -GRAVITY * DT;
            for (int i = 0; i < 4; ++i) {
                if (!stands[i]) continue;
                const Vec3 r = (step == 0 ? foot_[i] : home_[i]) - level_ * robot_.centre;
                for (int m = 0; m < 3; ++m) {  // r x f, and f
                    b[6 + m][3 * i + (m + 1) % 3] = -DT * r[(m + 2) % 3] / robot_.inertia[m];
                    b[6 + m][3 * i + (m + 2) % 3] = DT * r[(m + 1) % 3] / robot_.inertia[m];
                    b[9 + m][3 * i + m] = DT / robot_.mass;
                    moved[6 + m][12] += b[6 + m][3 * i + 2] * share;
                }
            }
            const Mat<12, 13> bp = transposed(b) * value;
            Mat<12, 12> inner = bp * b;
            for (int k = 0; k < 12; ++k) inner[k][k] += gains_[FORCE];
            feedback = solved(inner, bp * moved);
            value = transposed(moved) * (value * (moved - b * feedback));
            for (int k = 0; k < 13; ++k) value[k][k] += weights[k];
        }
        const double x[13] = {roll_, pitch_, yaw_ - reference_yaw_, 0, 0, position_[2] - robot_.height,
                              turning_[0], turning_[1], turning_[2] - s.velocity[2],
                              speed_[0] - wanted[0], speed_[1] - wanted[1], speed_[2], 1.0};
        for (int i = 0; i < 4; ++i) {
            if (!stood_[i]) continue;
            Vec3 f = {0.0, 0.0, share};  // that of the first step, which came last
            for (int k = 0; k < 3; ++k)
                for (int m = 0; m < 13; ++m) f[k] -= feedback[3 * i + k][m] * x[m];
            f[2] = std::clamp(f[2], 0.0, 2.0 * robot_.mass * GRAVITY);
            for (int k = 0; k < 2; ++k) f[k] = std::clamp(f[k], -FRICTION * f[2], FRICTION * f[2]);
            const Vec3 torque = transposed(legs_[i].jacobian(s.q + 3 * i)) * (transposed(level_) * (-1.0 * f));
            for (int k = 0; k < 3; ++k) out.torque[3 * i + k] = torque[k];
        }
    }

    const Robot robot_;
    const std::vector<double> gains_;
    std::array<Leg, 4> legs_;
    std::array<Vec3, 4> home_{}, foot_{}, target_{}, lifted_{};  // feet in H, from the trunk's origin
    std::array<double, 4> offset_{};
    std::array<bool, 4> stood_{true, true, true, true};
    Mat<3, 3> body_{}, heading_{}, level_{};
    Vec3 position_{}, velocity_{}, speed_{}, turning_{};
    double roll_ = 0.0, pitch_ = 0.0, yaw_ = 0.0, reference_yaw_ = 0.0;
    bool fresh_ = true;
};

int main(int count, char** words) {
    if (count != 4 || !ROBOTS.count(words[3])) return std::cerr << "trot_mpc GAINS.yaml PORT go1|go2\n", 2;
    return relay::answer<TrotMpc>(words[1], words[2], NAMES, [&](const std::vector<double>& gains) {
        return TrotMpc(ROBOTS.at(words[3]), gains);
    });
}

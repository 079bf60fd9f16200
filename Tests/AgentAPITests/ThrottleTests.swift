import AgentService
import AgentTestSupport
import HTTPMessage
import HTTPTypes
import Synchronization
import Testing

@testable import AgentAPI

/// Buckets of tokens, on a clock that the tests move.
struct ThrottleTests {
    private final class Clock: Sendable {
        private let time = Mutex(ContinuousClock.now)
        var now: ContinuousClock.Instant { time.withLock { $0 } }
        func pass(_ seconds: Double) { time.withLock { $0 += .seconds(seconds) } }
    }

    private static let bot = Admission(.principal("bot"))

    private static func throttle(_ clock: Clock, isShared: Bool = false) -> Throttle {
        var limits = RateLimits()
        (limits.requests, limits.urgentRequests, limits.storedBytes) = (60, 6, 6000)
        return Throttle(limits, isShared: isShared, now: { clock.now })
    }

    private static func value(_ name: String, of quota: Quota) -> String? {
        HTTPField.Name(name).flatMap { quota.fields[$0] }
    }

    @Test func `a caller who has used up the minute waits for the next token`() {
        let clock = Clock()
        let throttle = Self.throttle(clock)
        for _ in 0..<60 { #expect(throttle.take(Self.bot).exceeded == nil) }
        let over = throttle.take(Self.bot)
        #expect(over.exceeded?.policy == .requests && over.exceeded?.seconds == 1)
        #expect(
            Self.value("RateLimit", of: over) == #""requests";r=0;t=1, "stored-bytes";r=6000;t=0"#)
        clock.pass(1)
        #expect(throttle.take(Self.bot).exceeded == nil)
        #expect(throttle.take(Self.bot).exceeded != nil)
        clock.pass(3600)
        for _ in 0..<60 { #expect(throttle.take(Self.bot).exceeded == nil) }
        #expect(throttle.take(Self.bot).exceeded != nil, "a lull saves up no more than a minute")
    }

    @Test func `ordinary answers tell policy and standing as structured fields`() {
        let quota = Self.throttle(Clock()).take(Self.bot)
        #expect(
            Self.value("RateLimit-Policy", of: quota)
                == #""requests";q=60;w=60, "stored-bytes";q=6000;qu="stored-bytes";w=60"#)
        #expect(Self.value("RateLimit", of: quota) == #""requests";r=59;t=1, "stored-bytes";r=6000;t=0"#)
    }

    @Test func `each caller has buckets of their own, and an address is no principal of that name`() {
        let throttle = Self.throttle(Clock())
        while throttle.take(Self.bot).exceeded == nil {}
        #expect(throttle.take(Admission(.principal("bob"))).exceeded == nil)
        #expect(throttle.take(Admission(.source("bot"))).exceeded == nil)
    }

    @Test func `what is urgent has a bucket of its own, and health none`() {
        let throttle = Self.throttle(Clock())
        while throttle.take(Self.bot).exceeded == nil {}
        throttle.wrote(1_000_000, for: "bot")
        for _ in 0..<6 { #expect(throttle.take(Admission(.principal("bot"), .urgent)).exceeded == nil) }
        #expect(throttle.take(Admission(.principal("bot"), .urgent)).exceeded?.policy == .urgent)
        for _ in 0..<100 {
            let quota = throttle.take(Admission(.source("127.0.0.1"), .health))
            #expect(quota.exceeded == nil && quota.fields.isEmpty)
        }
    }

    @Test func `what was written is paid for afterwards`() {
        let clock = Clock()
        let throttle = Self.throttle(clock)
        throttle.wrote(6900, for: "bot")
        let over = throttle.take(Self.bot)
        #expect(over.exceeded?.policy == .storedBytes && over.exceeded?.seconds == 10, "\(over)")
        #expect(throttle.take(Admission(.principal("bob"))).exceeded == nil)
        clock.pass(9)
        #expect(throttle.take(Self.bot).exceeded != nil)
        clock.pass(1.1)
        #expect(throttle.take(Self.bot).exceeded == nil)
    }

    @Test func `a crowd of addresses takes no more memory than it may`() {
        let throttle = Self.throttle(Clock())
        for number in 0..<30_000 { _ = throttle.take(Admission(.source("\(number)"))) }
        #expect(throttle.count <= 20_002)
        // A principal has its own buckets all the same.
        let before = throttle.count
        #expect(throttle.take(Self.bot).exceeded == nil)
        #expect(throttle.count == before + 2)
    }

    @Test(arguments: [
        ("127.0.0.1:40112", "127.0.0.1"), ("unix", "unix"), ("[2001:db8:1:2:3:4:5:6]:80", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::9]:81", "2001:db8:1:2::/64"), ("[::1]:80", "0:0:0:0::/64"),
        ("[fe80::1%eth0]:80", "fe80::1%eth0"),
    ])
    func `an address without its port is a source, and a network of IPv6 is one`(peer: String, source: String) {
        #expect(Request.source(of: peer) == source)
    }

    @Test func `a budget holds over all agents that tell each other what was taken`() {
        let clock = Clock()
        let agents = (0..<3).map { _ in Self.throttle(clock, isShared: true) }
        func exchange() {
            for (index, agent) in agents.enumerated() {
                let spent = agent.spent
                agent.told(spent)
                for spending in spent {
                    for (other, agent) in agents.enumerated() where other != index { agent.charge(spending) }
                }
            }
        }
        for _ in 0..<50 { #expect(agents[0].take(Self.bot).exceeded == nil) }
        agents[1].wrote(6001, for: "bot")
        exchange()
        for agent in agents {
            #expect(agent.take(Self.bot).exceeded?.policy == .storedBytes, "what was written elsewhere counts")
            #expect(agent.take(Admission(.principal("other"))).exceeded == nil, "for this caller alone")
        }
        clock.pass(60)
        // What is taken before the others know is paid back by all, in two minutes at most.
        for agent in agents { for _ in 0..<60 { #expect(agent.take(Self.bot).exceeded == nil) } }
        exchange()
        clock.pass(59)
        for agent in agents { #expect(agent.take(Self.bot).exceeded?.policy == .requests) }
        clock.pass(3)
        for agent in agents { #expect(agent.take(Self.bot).exceeded == nil) }
        exchange()
        #expect(agents.allSatisfy { $0.spent.isEmpty }, "what others tell is not told again")

    }

    @Test func `what the others could not be told is told later, once`() {
        let throttle = Self.throttle(Clock(), isShared: true)
        for _ in 0..<2 { _ = throttle.take(Self.bot) }
        let spent = throttle.spent
        #expect(spent == [Spending(budget: "requests", isPrincipal: true, party: "bot", tokens: 2)])
        _ = throttle.take(Self.bot)
        #expect(throttle.spent.map(\.tokens) == [3])
        throttle.told(spent)
        #expect(throttle.spent.map(\.tokens) == [1], "what was taken meanwhile")
    }

    @Test func `a lone agent keeps no account for others, and nonsense changes nothing`() {
        let clock = Clock()
        let throttle = Self.throttle(clock)
        _ = throttle.take(Self.bot)
        #expect(throttle.spent.isEmpty)
        throttle.charge(Spending(budget: "nothing", isPrincipal: true, party: "bot", tokens: .max))
        #expect(throttle.take(Self.bot).exceeded == nil)
        for _ in 0..<3 {
            throttle.charge(Spending(budget: "requests", isPrincipal: true, party: "bot", tokens: .max))
        }
        let quota = throttle.take(Self.bot)
        #expect(quota.exceeded?.policy == .requests && quota.exceeded?.remaining == 0)
        clock.pass(122)
        #expect(throttle.take(Self.bot).exceeded == nil, "however much it was, two minutes pay for it")
    }
}

import AgentPolicy
import FoundationEssentials
import Testing

/// Time zones for tests: those of the system where it has them, otherwise files made here that agree from 2026 on.
enum SampleZone {
    private static let footers = [
        "Europe/Berlin": "CET-1CEST,M3.5.0,M10.5.0/3", "America/St_Johns": "NST3:30NDT,M3.2.0,M11.1.0",
        "Australia/Lord_Howe": "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0", "Asia/Kolkata": "IST-5:30", "UTC": "UTC0",
        "Pacific/Apia": "<+13>-13", "America/Nuuk": "<-02>2<-01>,M3.5.0/-1,M10.5.0/0",
        "Asia/Gaza": "EET-2EEST,M3.4.4/50,M10.4.4/50", "Europe/Dublin": "IST-1GMT0,M10.5.0,M3.5.0/1",
        "Africa/Cairo": "EET-2EEST,M4.5.5/0,M10.5.4/24", "Africa/Casablanca": "<+01>-1",
    ]

    /// What the footers do not say: the first offset, and changes.
    private static let changes = [
        // Over the date line, at the end of 29 December 2011.
        "Pacific/Apia": (-36_000, [(1_325_239_200, 50_400), (1_333_202_400, 46_800)]),
        // The Ramadan of 2026.
        "Africa/Casablanca": (3600, [(1_771_120_800, 0), (1_774_144_800, 3600)]),
    ]

    /// The bytes of the system's file, or of one made here.
    static func bytes(_ name: String) throws -> [UInt8] {
        if let data = FileManager.default.contents(atPath: "/usr/share/zoneinfo/\(name)") { return [UInt8](data) }
        return try madeFile(name)
    }

    static func madeFile(_ name: String) throws -> [UInt8] {
        let (first, transitions) = changes[name] ?? (0, [])
        return file(first: first, transitions, footer: try #require(footers[name]))
    }

    static func named(_ name: String) throws -> TimeZoneRules {
        try TimeZoneRules(name: name, parsing: bytes(name))
    }

    /// A zone that has only this footer.
    static func made(_ footer: String) throws -> TimeZoneRules {
        try TimeZoneRules(name: "Test", parsing: file(footer: footer))
    }

    /// A TZif file as `zic` writes one: a minimal block of version 1, then the 64-bit block and the footer. Each
    /// transition is a time and the offset from then on.
    static func file(
        version: Character = "2", first: Int = 0, _ transitions: [(Int, Int)] = [], footer: String
    ) -> [UInt8] {
        block(version, size: 4, first: 0, []) + block(version, size: 8, first: first, transitions)
            + Array("\n\(footer)\n".utf8)
    }

    /// A header and its block of data, with times of `size` bytes.
    static func block(_ version: Character, size: Int, first: Int, _ transitions: [(Int, Int)]) -> [UInt8] {
        var bytes = Array("TZif".utf8) + [version.asciiValue ?? 0] + [UInt8](repeating: 0, count: 15)
        for count in [0, 0, 0, transitions.count, transitions.count + 1, 4] { bytes += number(count, size: 4) }
        for (time, _) in transitions { bytes += number(time, size: size) }
        for index in transitions.indices { bytes.append(UInt8(index + 1)) }
        for offset in [first] + transitions.map(\.1) { bytes += number(offset, size: 4) + [0, 0] }
        return bytes + Array("LMT\0".utf8)
    }

    static func number(_ value: Int, size: Int) -> [UInt8] {
        (0..<size).reversed().map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    }
}

/// `2026-03-29T01:00:00`, in UTC.
func utc(_ text: String) throws -> Date { try Date("\(text)Z", strategy: .iso8601) }

extension WeeklyWindow {
    /// Reads windows as descriptions write them: `mon-fri 22:00-06:00`.
    static func sample(_ text: String) throws -> WeeklyWindow {
        let parts = text.split(separator: " ").map(String.init)
        let times = try #require(parts.last).split(separator: "-").map(String.init)
        var days: Set<Weekday> = []
        for part in parts[0].split(separator: ",") { days.formUnion(try #require(Weekday.set(parsing: String(part)))) }
        let minutes = times.compactMap(WeeklyWindow.minute(parsing:))
        return try #require(WeeklyWindow(days: days, from: minutes[0], to: minutes[1]))
    }
}

/// The splitmix64 generator: the same numbers for the same seed.
struct Seeded: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}

import AgentModel
package import FoundationEssentials

/// When the clocks of a time zone change, and by how much: what a file of the IANA time zone database says.
///
/// The rules are pure data, read once with ``init(name:parsing:)`` from bytes that somebody else has read. They are
/// exact from 1900 to 2200, which covers every ``LocalTime``. Before and after, a zone that still changes its clocks
/// keeps the offset of the nearest year.
///
/// Two rules are equal if they have the same name and describe the same changes.
package struct TimeZoneRules: Sendable, Hashable {
    /// The name in the database, `Europe/Berlin`.
    package let name: String
    /// The moments at which the offset may change, in seconds since 1970; strictly ascending.
    private let transitions: [Int]
    /// The offset before the first transition, and then the one from each transition on; one more than these.
    private let offsets: [Int]

    /// Coordinated Universal Time; its clock never changes.
    package static let utc = TimeZoneRules(name: "UTC", offset: 0)

    /// Why a name or a file is refused.
    package enum Invalid: Error, Sendable, Hashable {
        /// The name is not a name of the database's form, as ``TimeZoneRules/isName(_:)`` says.
        case name
        /// The file is larger than ``TimeZoneRules/largestFile``.
        case tooLarge
        /// The file does not begin as a TZif file does.
        case notTZif
        /// The version is not one that RFC 9636 describes or leaves to the future.
        case version(UInt8)
        /// The file ends too early, or counts more entries than it has bytes.
        case truncated
        /// The numbers of entries contradict each other.
        case counts
        /// The file counts leap seconds (a zone of `right/`), so its times are not those of system clocks.
        case leapSeconds
        /// The transitions are not in ascending order, or one has a type that does not exist.
        case transitions
        /// A type of local time is malformed, or is 26 hours or more away from UTC.
        case localTimeType
        /// The footer, a POSIX `TZ` string, is malformed.
        case footer
    }

    /// The largest file that is read, in bytes. Those of the database have less than 8,000.
    package static let largestFile = 65_536

    /// The largest distance from UTC that RFC 9636 recommends readers to support, in seconds: less than 26 hours.
    static let largestOffset = 26 * 3600 - 1

    /// Reads a TZif file (RFC 9636): the 64-bit data and the footer of a file of version 2 or later, otherwise the
    /// data of version 1, whose last offset then holds for ever.
    ///
    /// Throws ``Invalid`` for a name that ``isName(_:)`` refuses, and for bytes that are not such a file or that
    /// contradict themselves. No bytes trap.
    package init(name: String, parsing bytes: [UInt8]) throws(Invalid) {
        guard Self.isName(name) else { throw .name }
        guard bytes.count <= Self.largestFile else { throw .tooLarge }
        self.init(name: name, file: try TimeZoneFile(parsing: bytes))
    }

    private init(name: String, offset: Int) {
        self.name = name
        transitions = []
        offsets = [offset]
    }

    /// The footer's changes follow the last transition of the file; a file without transitions has only the footer's.
    private init(name: String, file: TimeZoneFile) {
        var transitions = file.transitions
        var offsets = [file.firstOffset] + file.offsets
        if let footer = file.footer {
            if transitions.isEmpty { offsets = [footer.standardOffset] }
            for change in footer.changes(after: transitions.last) {
                transitions.append(change.time)
                offsets.append(change.offset)
            }
        }
        self.name = name
        self.transitions = transitions
        self.offsets = offsets
    }

    /// Whether a text has the form of the database's names: 1 to 64 letters, digits and `+ - _` in parts that `/`
    /// separates. So it can neither leave the directory of the database nor begin with a `/`.
    package static func isName(_ text: String) -> Bool {
        let parts = text.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        return text.utf8.count <= 64 && parts.allSatisfy { !$0.isEmpty && $0.allSatisfy(isNameByte) }
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "_"):
            true
        default: false
        }
    }

    /// How far the zone's clock is ahead of UTC at that moment, in seconds; negative west of Greenwich. Total.
    package func offset(at date: Date) -> Int { offset(atSecond: Self.second(of: date)) }

    /// What the zone's clock shows at that moment, without its seconds. `nil` outside ``LocalTime/years``.
    package func localTime(at date: Date) -> LocalTime? {
        let (day, second) = localSecond(atSecond: Self.second(of: date)).floored(by: 86_400)
        return LocalTime(dayNumber: day, minuteOfDay: second / 60)
    }

    /// The first instant at which the zone's clock shows that time or a later one.
    ///
    /// So a time that the clock skips becomes the instant of the jump, and a time that it shows twice the first of the
    /// two. An earlier local time never becomes a later instant.
    package func instant(of local: LocalTime) -> Date {
        Date(timeIntervalSince1970: Double(second(ofLocalSecond: local.minutes * 60)))
    }

    // MARK: Seconds

    /// The second that contains the moment, counted from 1970. Those beyond 2^53, which no Date represents exactly, and
    /// NaN become the nearest bound.
    static func second(of date: Date) -> Int {
        let bound = 1 << 53
        let second = date.timeIntervalSince1970.rounded(.down)
        guard second > -Double(bound) else { return -bound }
        return second < Double(bound) ? Int(second) : bound
    }

    func offset(atSecond second: Int) -> Int { offsets[index(atSecond: second)] }

    /// The seconds that the zone's clock counts since its 1970-01-01T00:00. `second` must be within ±2^53.
    func localSecond(atSecond second: Int) -> Int { second + offset(atSecond: second) }

    /// As ``instant(of:)``. `local` must be within ±2^53.
    func second(ofLocalSecond local: Int) -> Int {
        // At that second no clock shows the time yet. An offset is passed over if it ends before its clock does.
        var index = index(atSecond: local - Self.largestOffset - 1)
        while index < transitions.count, local - offsets[index] >= transitions[index] { index += 1 }
        let shown = local - offsets[index]
        return index == 0 ? shown : max(shown, transitions[index - 1])
    }

    /// The index of the offset in force: the number of transitions until then.
    private func index(atSecond second: Int) -> Int {
        var low = 0
        var high = transitions.count
        while low < high {
            let middle = (low + high) / 2
            if transitions[middle] <= second { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

import AgentPolicy
import FoundationEssentials

/// Time zones from the system's database (Debian's `tzdata`).
enum ZoneFiles {
    static let directory = "/usr/share/zoneinfo/"

    /// The rules of the zone with that IANA name, such as `Europe/Berlin`. `UTC` needs no file.
    static func rules(_ name: String) throws(PolicyReader.ZoneError) -> TimeZoneRules {
        if name == "UTC" { return .utc }
        guard TimeZoneRules.isName(name) else {
            throw PolicyReader.ZoneError(
                "expected a time zone such as Europe/Berlin, or UTC, got \"\(name.prefix(80))\"")
        }
        let bytes: [UInt8]
        do throws(FileError) { bytes = try readFile(directory + name, limit: TimeZoneRules.largestFile) } catch {
            let cure =
                FileManager.default.fileExists(atPath: directory + "Europe/Berlin")
                ? "see \(directory) for the names there are" : "install Debian's tzdata, or use UTC"
            throw PolicyReader.ZoneError("there is no time zone \(name) (\(error.detail)); \(cure)")
        }
        do throws(TimeZoneRules.Invalid) { return try TimeZoneRules(name: name, parsing: bytes) } catch {
            throw PolicyReader.ZoneError("\(directory + name) is no time zone this program can read: \(error)")
        }
    }
}

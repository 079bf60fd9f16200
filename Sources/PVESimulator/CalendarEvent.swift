/// Schedules in the form of systemd's calendar events: `mon..fri 02:00`, `*/15`, `sat *-1..7 15:00`, `daily`.
enum CalendarEvent {
    private static let words: Set<String> = [
        "minutely", "hourly", "daily", "weekly", "monthly", "yearly", "annually", "quarterly", "semiannually",
        "semi-annually",
    ]

    /// Refuses a schedule that cannot be read.
    static func check(_ call: EndpointCall) throws(Failure) {
        guard let text = call["schedule"], !isValid(text) else { return }
        throw .parameters([
            "schedule": "invalid format - invalid calendar event '\(text)' - unable to parse calendar event\n\n"
        ])
    }

    /// Whether the parts are such as a schedule has, in their order: days, a date, a time.
    static func isValid(_ text: String) -> Bool {
        let text = text.lowercased()
        if words.contains(text) { return true }
        var parts = text.split(separator: " ")[...]
        guard !parts.isEmpty else { return false }
        if let first = parts.first, isDays(first) { parts.removeFirst() }
        if let first = parts.first, first.contains("-"), isNumbers(first, and: "-") { parts.removeFirst() }
        if let first = parts.first, isNumbers(first, and: ":") { parts.removeFirst() }
        return parts.isEmpty
    }

    private static func isDays(_ text: Substring) -> Bool {
        let days = /(mon|tue|wed|thu|fri|sat|sun)[a-z]*/
        return text.replacing("..", with: ",").split(separator: ",", omittingEmptySubsequences: false).allSatisfy {
            $0.wholeMatch(of: days) != nil
        }
    }

    private static func isNumbers(_ text: Substring, and separator: Character) -> Bool {
        let list = /(\*|\d+(\.\.\d+)?)(\/\d+)?(,(\*|\d+(\.\.\d+)?)(\/\d+)?)*/
        let parts = text.split(separator: separator, omittingEmptySubsequences: false)
        return parts.count <= 3 && parts.allSatisfy { $0.wholeMatch(of: list) != nil }
    }
}

import AgentTestSupport
import Metrics
import Testing

/// How figures are written, in both formats.
struct ExpositionTests {
    private static let requests = MetricFamily(
        "test_requests", .counter, ["route", "status"], "requests, by \"route\"\nand status, not by \\path")
    private static let times = MetricFamily("test_wait_seconds", .histogram, ["class"], "how long each waited")

    private static func text(_ format: Exposition.Format) -> [String] {
        var text = Exposition(format)
        let requests = CounterTable(Self.requests, [["/healthz", "200"], ["/v1/\"x\"\\\n", "404"], ["none", "500"]])
        requests.add(at: 0)
        requests.add(41, at: 0)
        requests.add(at: 1)
        requests.write(to: &text)
        let seldom = CounterTable(
            MetricFamily("test_refused", .counter, ["why"], "refusals"), [["a"], ["b"]], hidesZeros: true)
        seldom.add(at: 1)
        seldom.write(to: &text)
        let times = HistogramTable(Self.times, TimeBounds("0.005", "0.1", "1.0"), [["read"], ["change"]])
        for time in [Duration.milliseconds(5), .microseconds(5001), .seconds(1), .seconds(90)] { times.add(time) }
        times.write(to: &text)
        let ends = Tally(MetricFamily("test_end_seconds", .histogram, ["how"], "ends"), TimeBounds("2.0"))
        ends.add(["well"], .milliseconds(2500))
        ends.add(["badly"], .milliseconds(1))
        ends.add(["well"], .milliseconds(500))
        ends.write(to: &text)
        let words = Tally(MetricFamily("test_words", .counter, ["word"], "words"))
        for word in ["b", "a", "b"] { words.add([word]) }
        words.write(to: &text)
        GaugeTable(MetricFamily("test_up", .gauge, ["name"], "whether it is up"), [["x"], ["y"], ["z"]])
            .write([1, nil, 0], to: &text)
        text.write(MetricFamily("test_build", .info, ["version"], "the build"), [(["1.0"], 1)])
        text.write(MetricFamily("test_free_bytes", .gauge, [], "what is free"), -1_234_567_890)
        text.write(MetricFamily("test_cpu_seconds", .counter, [], "time of the processor"), microseconds: 61_000_042)
        text.write(MetricFamily("test_missing", .gauge, [], "never known"), nil)
        text.end()
        return String(decoding: text.bytes, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
            .map(String.init)
    }

    @Test func `the text is the one that the format asks for`() throws {
        for format in Exposition.Format.allCases {
            let lines = Self.text(format)
            #expect(lines.last == "", "every line ends")
            try expectGolden(Array(lines.dropLast()), "\(format).txt")
        }
    }

    @Test func `both formats have the same samples`() {
        func samples(_ format: Exposition.Format) -> [String] { Self.text(format).filter { !$0.hasPrefix("#") } }
        #expect(samples(.prometheus) == samples(.openMetrics))
        #expect(samples(.prometheus).count > 20)
    }

    @Test func `what has nothing to show does not begin`() {
        var text = Exposition(.prometheus)
        CounterTable(Self.requests, [["a", "b"]], hidesZeros: true).write(to: &text)
        HistogramTable(Self.times, TimeBounds("1.0"), [["read"]]).write(to: &text)
        Tally(Self.requests).write(to: &text)
        GaugeTable(Self.requests, [["a", "b"]]).write([nil], to: &text)
        #expect(text.bytes.isEmpty)
    }

    @Test(arguments: [
        (Duration.zero, 0), (.microseconds(-5), 0), (.nanoseconds(1999), 1), (.seconds(3), 3_000_000),
        (.seconds(Int64.max), Int.max), (.seconds(Int64.min), 0),
    ])
    func `a time is counted in whole microseconds`(time: Duration, expected: Int) {
        #expect(time.microseconds == expected)
    }

    @Test(
        arguments: [
            (nil, Exposition.Format.prometheus), ("", .prometheus), ("*/*", .prometheus), ("text/plain", .prometheus),
            ("application/json", .prometheus), ("application/openmetrics-text", .openMetrics),
            ("Application/OpenMetrics-Text; Version=\"1.0.0\"; charset=utf-8", .openMetrics),
            ("application/openmetrics-text;version=2.0.0", .prometheus),
            ("application/openmetrics-text;q=0", .prometheus), ("application/openmetrics-text;q=2", .prometheus),
            ("text/plain;q=0.5, application/openmetrics-text;q=0.75", .openMetrics),
            ("text/plain;q=0.751,application/openmetrics-text;q=0.75", .prometheus),
            // Prometheus 2.42 and 2.53.
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                .openMetrics
            ),
            (
                "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                .openMetrics
            ),
        ] as [(String?, Exposition.Format)])
    func `Accept chooses the format`(header: String?, expected: Exposition.Format) {
        #expect(Exposition.Format(accepting: header) == expected)
    }

    @Test func `no count is lost among threads`() async {
        let (counters, tally) = (AtomicCounters(3), Tally(MetricFamily("test_words", .counter, ["word"], "words")))
        await withTaskGroup(of: Void.self) { group in
            for number in 0..<8 {
                group.addTask {
                    for _ in 0..<5000 {
                        counters.add(at: number % 3)
                        tally.add(["\(number % 3)"])
                    }
                }
            }
        }
        #expect((0..<3).map { counters[$0] } == [15_000, 15_000, 10_000])
        var text = Exposition(.prometheus)
        tally.write(to: &text)
        let lines = String(decoding: text.bytes, as: UTF8.self).split(separator: "\n").suffix(3)
        #expect(
            lines == [
                #"test_words_total{word="0"} 15000"#, #"test_words_total{word="1"} 15000"#,
                #"test_words_total{word="2"} 10000"#,
            ])
    }

    @Test func `a tally takes no more labels than it can hold`() {
        let tally = Tally(MetricFamily("test_words", .counter, ["word"], "words"))
        for number in 0..<10_050 { tally.add(["\(number)"]) }
        var text = Exposition(.prometheus)
        tally.write(to: &text)
        #expect(text.bytes.count { $0 == UInt8(ascii: "\n") } == 10_002)
    }
}

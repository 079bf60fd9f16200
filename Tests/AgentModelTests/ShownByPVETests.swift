import AgentModel
import StrictJSON
import Testing

struct ShownByPVETests {
    @Test(
        arguments: [
            (1, true), ("1", true), (true, true), ("on", true), ("Yes", true), (.number(1), true), (0, false),
            ("0", false),
            (false, false), ("", false), ("off", false), ("no", false), ("false", false), (.null, nil), (-1, nil),
            (2, nil),
            ("2", nil), (.number(1e308), nil), (.number(0.5), nil), ("maybe", nil), ([], nil),
        ] as [(JSON, Bool?)])
    func `a flag is read in every spelling, and nothing else is one`(value: JSON, flag: Bool?) {
        #expect(value.flag == flag)
    }

    @Test(
        arguments: [
            (100, 100), ("100", 100), (.number(100), 100), (99, nil), (-100, nil), ("-100", nil), ("+100", nil),
            ("", nil),
            (.number(100.5), nil), (.number(1e308), nil), (.integer(.max), nil), (4_294_967_396, nil), (true, nil),
            (.null, nil), ("100 ", nil), ("0x64", nil),
        ] as [(JSON, UInt32?)])
    func `the number of a guest is read as number and as text`(value: JSON, id: UInt32?) {
        #expect(value.guestID?.rawValue == id)
    }

    @Test(
        arguments: [
            (0, 0), ("0", 0), (9_223_372_036_853_727_232, 9_223_372_036_853_727_232),
            (.number(1e18), 1_000_000_000_000_000_000),
            ("18446744073709551615", .max), (-1, nil), ("-1", nil), ("", nil),
            (.number(18_446_744_073_709_551_616), nil),
            (.number(1e308), nil), (.number(0.5), nil), (.null, nil), (false, nil),
        ] as [(JSON, UInt64?)])
    func `an amount is read as far as 64 bits reach`(value: JSON, amount: UInt64?) {
        #expect(value.amount == amount)
    }
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What does not change from start to start in the `pc` machine's ACPI name
 * space. The names declared External are integers in the SSDT that
 * acpi-build.c makes at start.
 */

/* Interrupt pins A to D of one slot: (slot + pin) & 3 picks the line. */
#define SLOT(n, a, b, c, d) \
    Package () { n, 0, a, 0 }, Package () { n, 1, b, 0 }, \
    Package () { n, 2, c, 0 }, Package () { n, 3, d, 0 }
#define SLOTS(n0, n1, n2, n3) \
    SLOT (n0, LNKA, LNKB, LNKC, LNKD), SLOT (n1, LNKB, LNKC, LNKD, LNKA), \
    SLOT (n2, LNKC, LNKD, LNKA, LNKB), SLOT (n3, LNKD, LNKA, LNKB, LNKC)

/* A PIRQ line: @reg is its route register, bit 7 set means unconnected. */
#define LINK(name, uid, reg) \
    Device (name) \
    { \
        Name (_HID, EisaId ("PNP0C0F")) \
        Name (_UID, uid) \
        Name (_PRS, ResourceTemplate () \
        { \
            Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) \
            { 5, 10, 11 } \
        }) \
        Method (_STA, 0, NotSerialized) \
        { \
            Return (LSTA (reg)) \
        } \
        Method (_CRS, 0, Serialized) \
        { \
            Return (LCRS (reg)) \
        } \
        Method (_DIS, 0, NotSerialized) \
        { \
            Or (reg, 0x80, reg) \
        } \
        Method (_SRS, 1, NotSerialized) \
        { \
            CreateDWordField (Arg0, 5, IRQN) \
            Store (IRQN, reg) \
        } \
    }

/* A serial port, there when its bit in \SERM is set. */
#define SERIAL(name, uid, bit, port, irq) \
    Device (name) \
    { \
        Name (_HID, EisaId ("PNP0501")) \
        Name (_UID, uid) \
        Method (_STA, 0, NotSerialized) \
        { \
            If (And (\SERM, bit)) { Return (0x0F) } \
            Return (Zero) \
        } \
        Name (_CRS, ResourceTemplate () \
        { \
            IO (Decode16, port, port, 0x00, 0x08) \
            IRQNoFlags () { irq } \
        }) \
    }

/* A PCI slot that can be filled and emptied while the machine runs. */
#define HOTSLOT(name, n) \
    Device (name) \
    { \
        Name (_ADR, ((n) << 16)) \
        Name (_SUN, n) \
        Method (_EJ0, 1, NotSerialized) \
        { \
            SEJ (n) \
        } \
        Method (_OST, 3, NotSerialized) \
        { \
            SOST (n, Arg0, Arg1) \
        } \
        Method (_DSM, 4, NotSerialized) \
        { \
            Return (SDSM (n, Arg0, Arg1, Arg2)) \
        } \
    }

/* Tells the system of event Arg1 in slot n when its bit in Arg0 is set. */
#define TELL(name, n) \
    If (And (Arg0, (1 << (n)))) { Notify (name, Arg1) }

/* All of them: slots 0 and 1 are the chipset's. A slot's name has the number
 * of its function 0. */
#define EACH_SLOT(m) \
    m (S10, 0x02) m (S18, 0x03) m (S20, 0x04) m (S28, 0x05) m (S30, 0x06) \
    m (S38, 0x07) m (S40, 0x08) m (S48, 0x09) m (S50, 0x0A) m (S58, 0x0B) \
    m (S60, 0x0C) m (S68, 0x0D) m (S70, 0x0E) m (S78, 0x0F) m (S80, 0x10) \
    m (S88, 0x11) m (S90, 0x12) m (S98, 0x13) m (SA0, 0x14) m (SA8, 0x15) \
    m (SB0, 0x16) m (SB8, 0x17) m (SC0, 0x18) m (SC8, 0x19) m (SD0, 0x1A) \
    m (SD8, 0x1B) m (SE0, 0x1C) m (SE8, 0x1D) m (SF0, 0x1E) m (SF8, 0x1F)

DefinitionBlock ("", "DSDT", 2, "QEMUMQ", "MQPC", 0x00000001)
{
    External (\P32S, IntObj)    /* 32-bit PCI window: first address */
    External (\P32E, IntObj)    /* and last */
    External (\P64S, IntObj)    /* 64-bit PCI window: first address */
    External (\P64E, IntObj)    /* and last; 0: no such window */
    External (\SERM, IntObj)    /* serial ports that exist, bit 0: COM1 */
    External (\PVPP, IntObj)    /* port of pvpanic; 0: no such device */

    Name (\_S5, Package () { Zero, Zero, Zero, Zero })

    Scope (\_SB)
    {
        Device (PCI0)
        {
            Name (_HID, EisaId ("PNP0A03"))
            Name (_UID, Zero)
            Name (_BBN, Zero)

            Name (WIN, ResourceTemplate ()
            {
                WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode,
                    0x0000, 0x0000, 0x00FF, 0x0000, 0x0100)
                IO (Decode16, 0x0CF8, 0x0CF8, 0x01, 0x08)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode,
                    EntireRange, 0x0000, 0x0000, 0x0CF7, 0x0000, 0x0CF8)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode,
                    EntireRange, 0x0000, 0x0D00, 0xFFFF, 0x0000, 0xF300)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed,
                    Cacheable, ReadWrite, 0x00000000, 0x000A0000, 0x000BFFFF,
                    0x00000000, 0x00020000)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed,
                    NonCacheable, ReadWrite, 0x00000000, 0x00000000,
                    0x00000000, 0x00000000, 0x00000001, , , W32)
            })
            Name (WIN6, ResourceTemplate ()
            {
                QWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed,
                    Cacheable, ReadWrite, 0x0000000000000000,
                    0x0000000000000000, 0x0000000000000000,
                    0x0000000000000000, 0x0000000000000001, , , W64)
            })
            Method (_CRS, 0, Serialized)
            {
                CreateDWordField (WIN, ^W32._MIN, MINL)
                CreateDWordField (WIN, ^W32._MAX, MAXL)
                CreateDWordField (WIN, ^W32._LEN, LENL)
                Store (\P32S, MINL)
                Store (\P32E, MAXL)
                Store (Add (Subtract (\P32E, \P32S), One), LENL)
                If (LEqual (\P64E, Zero))
                {
                    Return (WIN)
                }
                CreateQWordField (WIN6, ^W64._MIN, MINH)
                CreateQWordField (WIN6, ^W64._MAX, MAXH)
                CreateQWordField (WIN6, ^W64._LEN, LENH)
                Store (\P64S, MINH)
                Store (\P64E, MAXH)
                Store (Add (Subtract (\P64E, \P64S), One), LENH)
                Return (ConcatenateResTemplate (WIN, WIN6))
            }

            Name (_PRT, Package ()
            {
                SLOTS (0x0000FFFF, 0x0001FFFF, 0x0002FFFF, 0x0003FFFF),
                SLOTS (0x0004FFFF, 0x0005FFFF, 0x0006FFFF, 0x0007FFFF),
                SLOTS (0x0008FFFF, 0x0009FFFF, 0x000AFFFF, 0x000BFFFF),
                SLOTS (0x000CFFFF, 0x000DFFFF, 0x000EFFFF, 0x000FFFFF),
                SLOTS (0x0010FFFF, 0x0011FFFF, 0x0012FFFF, 0x0013FFFF),
                SLOTS (0x0014FFFF, 0x0015FFFF, 0x0016FFFF, 0x0017FFFF),
                SLOTS (0x0018FFFF, 0x0019FFFF, 0x001AFFFF, 0x001BFFFF),
                SLOTS (0x001CFFFF, 0x001DFFFF, 0x001EFFFF, 0x001FFFFF)
            })

            /* Hot-plug registers (hw/i386/pci-hotplug.c), a bit per slot
             * where nothing else is said. */
            OperationRegion (HPRG, SystemIO, 0xAE00, 0x1C)
            Field (HPRG, DWordAcc, NoLock, WriteAsZeros)
            {
                PCIU, 32,   /* something was plugged in; a read clears it */
                PCID, 32,   /* asked to be emptied */
                EJCT, 32,   /* writing a bit empties the slot */
                Offset (0x10),
                BSEL, 32,   /* number of the bus that this is about */
                SLOT, 32,   /* W: number of a slot; R: its acpi-index */
                OSTS, 32    /* W: why the slot SLOT was not emptied */
            }
            Mutex (HPMX, 0)

            EACH_SLOT (HOTSLOT)

            /* Empties slot Arg0. */
            Method (SEJ, 1, Serialized)
            {
                Acquire (HPMX, 0xFFFF)
                Store (Zero, BSEL)
                ShiftLeft (One, Arg0, EJCT)
                Release (HPMX)
            }

            /* What became of event Arg1 in slot Arg0: status Arg2. Of interest
             * are requests to eject that failed: not 0, success, nor 0x84, in
             * progress (ACPI 6.4, 6.3.5). */
            Method (SOST, 3, Serialized)
            {
                If (LAnd (LNotEqual (Arg1, 0x03), LNotEqual (Arg1, 0x0103)))
                {
                    Return
                }
                If (LOr (LEqual (Arg2, Zero), LEqual (Arg2, 0x84)))
                {
                    Return
                }
                Acquire (HPMX, 0xFFFF)
                Store (Zero, BSEL)
                Store (Arg0, SLOT)
                Store (Arg2, OSTS)
                Release (HPMX)
            }

            /* Function Arg3, revision Arg2, of the methods for PCI devices
             * (PCI Firmware 3.2, 4.6): of slot Arg0, the number that its
             * network interface is to be known by, where it has one. */
            Method (SDSM, 4, Serialized)
            {
                If (LOr (LNotEqual (Arg1,
                        ToUUID ("E5C937D0-3553-4D7A-9117-EA4D19C3434D")),
                    LLess (Arg2, 2)))
                {
                    Return (Buffer () { 0x00 })
                }
                Acquire (HPMX, 0xFFFF)
                Store (Zero, BSEL)
                Store (Arg0, SLOT)
                Store (SLOT, Local0)
                Release (HPMX)
                If (LOr (LEqual (Local0, Zero), LGreater (Local0, 0x3FFF)))
                {
                    Return (Buffer () { 0x00 })
                }
                If (LEqual (Arg3, Zero))
                {
                    Return (Buffer () { 0x81 })
                }
                If (LEqual (Arg3, 7))
                {
                    Store (Package () { Zero, "" }, Local1)
                    Store (Local0, Index (Local1, Zero))
                    Return (Local1)
                }
                Return (Buffer () { 0x00 })
            }

            Method (STEL, 2, Serialized)
            {
                EACH_SLOT (TELL)
            }

            /* Event: device check, and request to eject (5.6.6). */
            Method (PCNT, 0, Serialized)
            {
                Acquire (HPMX, 0xFFFF)
                Store (Zero, BSEL)
                Store (PCIU, Local0)
                Store (PCID, Local1)
                Release (HPMX)
                STEL (Local0, One)
                STEL (Local1, 0x03)
            }

            /* PIIX3 ISA bridge */
            Device (ISA)
            {
                Name (_ADR, 0x00010000)
                OperationRegion (ROUT, PCI_Config, 0x60, 0x04)

                SERIAL (COM1, 1, 0x01, 0x03F8, 4)
                SERIAL (COM2, 2, 0x02, 0x02F8, 3)
                SERIAL (COM3, 3, 0x04, 0x03E8, 4)
                SERIAL (COM4, 4, 0x08, 0x02E8, 3)

                Device (RTC)
                {
                    Name (_HID, EisaId ("PNP0B00"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x0070, 0x0070, 0x01, 0x02)
                        IRQNoFlags () { 8 }
                    })
                }

                Device (KBD)
                {
                    Name (_HID, EisaId ("PNP0303"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x0060, 0x0060, 0x01, 0x01)
                        IO (Decode16, 0x0064, 0x0064, 0x01, 0x01)
                        IRQNoFlags () { 1 }
                    })
                }

                /* pvpanic: RDPT tells the events it takes, WRPT sends some */
                Device (PEVT)
                {
                    Name (_HID, "QEMU0001")
                    Name (RES, ResourceTemplate ()
                    {
                        IO (Decode16, 0x0000, 0x0000, 0x01, 0x01, PORT)
                    })
                    Method (_STA, 0, NotSerialized)
                    {
                        If (\PVPP) { Return (0x0F) }
                        Return (Zero)
                    }
                    Method (_CRS, 0, Serialized)
                    {
                        CreateWordField (RES, ^PORT._MIN, MINP)
                        CreateWordField (RES, ^PORT._MAX, MAXP)
                        Store (\PVPP, MINP)
                        Store (\PVPP, MAXP)
                        Return (RES)
                    }
                    Method (RDPT, 0, Serialized)
                    {
                        OperationRegion (REGS, SystemIO, \PVPP, 0x01)
                        Field (REGS, ByteAcc, NoLock, Preserve) { EVTS, 8 }
                        Return (EVTS)
                    }
                    Method (WRPT, 1, Serialized)
                    {
                        OperationRegion (REGS, SystemIO, \PVPP, 0x01)
                        Field (REGS, ByteAcc, NoLock, Preserve) { EVTS, 8 }
                        Store (Arg0, EVTS)
                    }
                }
            }
        }

        Field (PCI0.ISA.ROUT, ByteAcc, NoLock, Preserve)
        {
            PRQA, 8,
            PRQB, 8,
            PRQC, 8,
            PRQD, 8
        }

        Method (LSTA, 1, NotSerialized)
        {
            If (And (Arg0, 0x80))
            {
                Return (0x09)
            }
            Return (0x0B)
        }

        Name (LBUF, ResourceTemplate ()
        {
            Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) { 0 }
        })
        Method (LCRS, 1, Serialized)
        {
            CreateDWordField (LBUF, 5, IRQN)
            Store (Zero, IRQN)
            If (LNot (And (Arg0, 0x80)))
            {
                Store (Arg0, IRQN)
            }
            Return (LBUF)
        }

        LINK (LNKA, 0, PRQA)
        LINK (LNKB, 1, PRQB)
        LINK (LNKC, 2, PRQC)
        LINK (LNKD, 3, PRQD)

        /* firmware configuration: the guest finds the ports by this id */
        Device (FWCF)
        {
            Name (_HID, "QEMU0002")
            Name (_STA, 0x0B)
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x0510, 0x0510, 0x01, 0x0C)
            })
        }

        /* Ports of the chipset that no driver may take for itself: ACPI
         * registers, PCI hot-plug, the SMI command port, interrupt edge/level
         * control. */
        Device (SYSR)
        {
            Name (_HID, EisaId ("PNP0C02"))
            Name (_UID, One)
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x0600, 0x0600, 0x01, 0x40)
                IO (Decode16, 0xAE00, 0xAE00, 0x01, 0x1C)
                IO (Decode16, 0xAFE0, 0xAFE0, 0x01, 0x04)
                IO (Decode16, 0x00B2, 0x00B2, 0x01, 0x02)
                IO (Decode16, 0x04D0, 0x04D0, 0x01, 0x02)
            })
        }
    }

    Scope (\_GPE)
    {
        /* PCI hot-plug */
        Method (_E01, 0, NotSerialized)
        {
            \_SB.PCI0.PCNT ()
        }
    }
}

/*
 * What the tests look up: a caller, a function inlined into it, and two static functions of one name
 * but of different sizes (the second where SECOND is defined). Built into probe.elf by
 *
 *   F="-O2 -g -gdwarf-5 -ffreestanding -fno-asynchronous-unwind-tables -fno-pie -ffile-prefix-map=$PWD=/src"
 *   gcc $F -c -o first.o probe.c && gcc $F -DSECOND -c -o second.o probe.c
 *   ld -static --build-id=none -e probe_outer -o probe.elf first.o second.o
 */
#ifndef SECOND
static inline __attribute__((always_inline)) int probe_inlined(volatile int *p)
{
	return *p * 3;
}

static __attribute__((noinline)) int probe_twin(volatile int *p)
{
	return *p + 1;
}

int probe_second(volatile int *p);

int probe_outer(volatile int *p)
{
	int got = probe_inlined(p);

	return got + probe_twin(p) + probe_second(p);
}
#else
static __attribute__((noinline)) int probe_twin(volatile int *p)
{
	*p = *p * 5 + *p * 7 + *p * 11 + *p * 13;
	return *p / 9;
}

int probe_second(volatile int *p)
{
	return probe_twin(p) + 2;
}
#endif

// floor OBJECT PROCESS OUTPUT: attaches the floor's programs, writes what they record to OUTPUT every 10 ms, and ends at
// SIGINT with the number of records that were written and lost.

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HEAD = 32, LENGTH_AT = 30, OUTPUT_BUFFER = 1 << 20, MAX_CPUS = 1024 };

static volatile sig_atomic_t stop;
static unsigned long long records;

static void on_signal(int signal)
{
	(void)signal;
	stop = 1;
}

static int on_record(void *output, void *record, size_t size)
{
	unsigned short length;
	(void)size;
	memcpy(&length, (char *)record + LENGTH_AT, sizeof(length));
	records++;
	return fwrite(record, 1, HEAD + length, output) == (size_t)(HEAD + length) ? 0 : -1;
}

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

int main(int count, char **words)
{
	if (count != 4) {
		fprintf(stderr, "usage: floor OBJECT PROCESS OUTPUT\n");
		return 2;
	}
	FILE *output = fopen(words[3], "w");
	if (!output)
		fail(words[3]);
	setvbuf(output, NULL, _IOFBF, OUTPUT_BUFFER);

	struct bpf_object *object = bpf_object__open(words[1]);
	if (!object)
		fail(words[1]);
	unsigned target = (unsigned)atoi(words[2]);
	struct bpf_map *map;
	bpf_object__for_each_map(map, object)
		if (strstr(bpf_map__name(map), ".rodata"))
			bpf_map__set_initial_value(map, &target, sizeof(target));
	if (bpf_object__load(object))
		fail("load");
	struct bpf_program *program;
	bpf_object__for_each_program(program, object)
		if (!bpf_program__attach(program))
			fail(bpf_program__name(program));
	struct ring_buffer *ring =
		ring_buffer__new(bpf_object__find_map_fd_by_name(object, "ring"), on_record, output, NULL);
	if (!ring)
		fail("ring");

	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	fprintf(stderr, "recording\n");
	while (!stop) {
		if (ring_buffer__consume(ring) < 0)
			fail("consume");
		usleep(10000);
	}
	ring_buffer__consume(ring);
	fclose(output);

	unsigned long long lost = 0, per_cpu[MAX_CPUS] = {0};
	unsigned key = 0;
	bpf_map_lookup_elem(bpf_object__find_map_fd_by_name(object, "lost"), &key, per_cpu);
	for (int cpu = 0; cpu < libbpf_num_possible_cpus() && cpu < MAX_CPUS; cpu++)
		lost += per_cpu[cpu];
	printf("%llu records, %llu lost\n", records, lost);
	return 0;
}

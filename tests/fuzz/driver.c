/* libFuzzer's two entry points around a promise of tests/fuzz/parsers.py, and the gauge that measures what a parser uses.

   FUZZ_TARGET names the promise, FUZZ_PYTHON is the interpreter whose packages are taken, FUZZ_STATS the file that gets
   the figures at the end. The first byte of an input is the promise's `settings`, the rest is what is parsed. A promise
   that does not hold ends in abort(), which libFuzzer reports with the input kept.

   The limits: no call above 50 ms of CPU, no single allocation above 64 KiB + 8 times the input, not more than
   64 KiB + 64 times the input in all (every allocation counts in full, what is freed again and each step of a realloc
   included; PYTHONMALLOC=malloc makes Python's objects visible). */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <sanitizer/allocator_interface.h>
#include <sanitizer/asan_interface.h>
#include <stdint.h>
#include <time.h>

#define NEAR 100000   /* ns; a reading of the CPU clock is used for this long, since one costs 0.7 us */
#define HANG 50000000
#define AGAIN 5000000  /* a machine that stands still in between counts as CPU time: what took longer is tried again */
#define TRIES 4
#define FREE_OF_CHARGE 65536
#define PER_BYTE_ONCE 8
#define PER_BYTE_IN_ALL 64

static PyObject *promise;
static size_t input_size;

/* Set while a parser runs, and while anything of an input is under way. */
static int is_measuring, is_inside;
static uint64_t allocated, largest, longest; /* of a call, of a call, of the calls of an input */
static int64_t kept_blocks;

static uint64_t executions, calls, slowest, slowest_size, max_once, max_all, seen_at, cpu_seen;
static double max_once_share, max_all_share; /* of what is allowed */

static uint64_t clock_of(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void on_allocation(const volatile void *p, size_t size) {
    (void)p;
    kept_blocks += is_inside;
    if (is_measuring) {
        allocated += size;
        if (size > largest) largest = size;
    }
}

static void on_free(const volatile void *p) {
    kept_blocks -= is_inside && p != NULL;
}

/* The time of a call: by the wall, or by the CPU clock where other processes may have had their turn. */
static uint64_t time_since(uint64_t start, uint64_t cpu_start) {
    uint64_t wall = clock_of(CLOCK_MONOTONIC) - start, cpu;
    if (wall < NEAR) return wall;
    cpu = clock_of(CLOCK_THREAD_CPUTIME_ID) - cpu_start;
    return cpu < wall ? cpu : wall;
}

static int is_within_memory(void) {
    uint64_t once = FREE_OF_CHARGE + PER_BYTE_ONCE * input_size, all = FREE_OF_CHARGE + PER_BYTE_IN_ALL * input_size;
    if (largest > max_once) max_once = largest;
    if (allocated > max_all) max_all = allocated;
    if ((double)largest / once > max_once_share) max_once_share = (double)largest / once;
    if ((double)allocated / all > max_all_share) max_all_share = (double)allocated / all;
    if (largest <= once && allocated <= all) return 1;
    PyErr_Format(PyExc_AssertionError, "limits: for %zu bytes of input the largest allocation is %llu of %llu, in all %llu of %llu",
                 input_size, (unsigned long long)largest, (unsigned long long)once, (unsigned long long)allocated,
                 (unsigned long long)all);
    return 0;
}

/* measured(function, *args): what the function gives or raises, unless it broke a limit */
static PyObject *measured(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    uint64_t start = clock_of(CLOCK_MONOTONIC), time;
    PyObject *result;
    (void)self;
    if (start - seen_at > NEAR) seen_at = start, cpu_seen = clock_of(CLOCK_THREAD_CPUTIME_ID);
    calls++;
    allocated = largest = 0;
    is_measuring = 1;
    result = PyObject_Vectorcall(args[0], args + 1, (size_t)(count - 1), NULL);
    is_measuring = 0;
    time = time_since(start, cpu_seen);
    if (time > longest) longest = time;
    if (is_within_memory()) return result;
    Py_XDECREF(result);
    return NULL;
}

static PyMethodDef methods[] = {{"measured", (PyCFunction)(void (*)(void))measured, METH_FASTCALL, NULL}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef gauge = {PyModuleDef_HEAD_INIT, "gauge", NULL, -1, methods, NULL, NULL, NULL, NULL};

static PyObject *make_gauge(void) {
    return PyModule_Create(&gauge);
}

static void say_figures(void) {
    FILE *out = fopen(getenv("FUZZ_STATS"), "w");
    if (!out) return;
    fprintf(out, "{\"executions\": %llu, \"calls\": %llu, \"slowest_us\": %.1f, \"slowest_size\": %llu, \"largest_allocation\": %llu, "
                 "\"largest_share\": %.4f, \"most_allocated\": %llu, \"most_share\": %.4f, \"blocks_kept\": %lld}\n",
            (unsigned long long)executions, (unsigned long long)calls, slowest / 1e3, (unsigned long long)slowest_size,
            (unsigned long long)max_once, max_once_share, (unsigned long long)max_all, max_all_share, (long long)kept_blocks);
    fclose(out);
}

static void stop(const char *what) {
    if (PyErr_Occurred()) PyErr_Print();
    fprintf(stderr, "fuzz: %s\n", what);
    fflush(NULL);
    abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    PyConfig config;
    PyObject *module, *targets;
    const char *target = getenv("FUZZ_TARGET"), *python = getenv("FUZZ_PYTHON");
    (void)argc, (void)argv;
    if (!target || !python || !getenv("FUZZ_STATS")) stop("FUZZ_TARGET, FUZZ_PYTHON and FUZZ_STATS have to be set");
    PyImport_AppendInittab("gauge", make_gauge);
    PyConfig_InitPythonConfig(&config);
    config.install_signal_handlers = 0;
    PyConfig_SetBytesString(&config, &config.program_name, python);
    if (PyStatus_Exception(Py_InitializeFromConfig(&config))) stop("no Python");
    PyConfig_Clear(&config);
    if (!(module = PyImport_ImportModule("parsers"))) stop("no promises");
    if (!(targets = PyObject_GetAttrString(module, "TARGETS"))) stop("no promises");
    promise = PyDict_GetItemString(targets, target);
    if (!promise) stop("no such target");
    __sanitizer_install_malloc_and_free_hooks(on_allocation, on_free);
    atexit(say_figures);
    return 0;
}

static void hold(PyObject *const *arguments) {
    PyObject *result;
    longest = 0;
    result = PyObject_Vectorcall(promise, arguments, 2, NULL);
    if (!result) stop("a promise is broken");
    Py_DECREF(result);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    PyObject *arguments[2];
    char *end;
    uint64_t time;
    int tries;
    is_inside = 1;
    executions++;
    input_size = size ? size - 1 : 0;
    arguments[0] = PyLong_FromLong(size ? data[0] : 0);
    arguments[1] = PyBytes_FromStringAndSize((const char *)data + (size != 0), (Py_ssize_t)input_size);
    /* Python ends every bytes object with a NUL, which would hide reading one byte too far. */
    end = PyBytes_AS_STRING(arguments[1]) + input_size;
    if (input_size > 1) __asan_poison_memory_region(end, 1);
    hold(arguments);
    time = longest;
    for (tries = 1; time > AGAIN && tries < TRIES; tries++) {
        hold(arguments);
        if (longest < time) time = longest;
    }
    if (time > slowest) slowest = time, slowest_size = input_size;
    if (time > HANG) stop("a parser took more than 50 ms of CPU");
    if (input_size > 1) __asan_unpoison_memory_region(end, 1);
    Py_DECREF(arguments[0]);
    Py_DECREF(arguments[1]);
    is_inside = 0;
    return 0;
}

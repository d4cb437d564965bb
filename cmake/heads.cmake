# The trained heads of models/heads as part of the program: a C file that takes the files in by .incbin, and a table that
# learned_built_in (src/signal/learned.h) searches by the file's name without its ending.
file(GLOB heads CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/models/heads/*.safetensors)
set(code "#include \"signal/learned.h\"\n\n")
set(rows "")
foreach(file ${heads})
    get_filename_component(name ${file} NAME_WE)
    string(APPEND code "__asm__(\".section .rodata\\n\\t.balign 64\\n\\t.globl merit_head_${name}\\n\\t.hidden merit_head_${name}\\n"
        "\\t.globl merit_head_${name}_end\\n\\t.hidden merit_head_${name}_end\\nmerit_head_${name}:\\n\\t.incbin \\\"${file}\\\"\\n\"\n"
        "        \"merit_head_${name}_end:\\n\\t.byte 0\\n\\t.previous\");\n"
        "extern const char merit_head_${name}[] __attribute__((visibility(\"hidden\")));\n"
        "extern const char merit_head_${name}_end[] __attribute__((visibility(\"hidden\")));\n")
    string(APPEND rows "    if (slice_eq_cstr(name, \"${name}\"))\n"
        "        return slice_make(merit_head_${name}, (size_t)(merit_head_${name}_end - merit_head_${name}));\n")
endforeach()
string(APPEND code "\nstruct slice learned_built_in(struct slice name)\n{\n${rows}    (void)name;\n    return SLICE_EMPTY;\n}\n")
file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/embed/heads.c CONTENT "${code}" @ONLY)
set_source_files_properties(${CMAKE_BINARY_DIR}/embed/heads.c PROPERTIES OBJECT_DEPENDS "${heads}")
target_sources(merit_signal PRIVATE ${CMAKE_BINARY_DIR}/embed/heads.c)

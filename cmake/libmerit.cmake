# libmerit: what decides, as a shared and a static library with only merit_* to be seen from outside.
#
# The static one is a single object, linked from those members of the layers that are needed, with every other symbol
# made local: so that a program may have an arena_init of its own.
include(GNUInstallDirs)
add_library(libmerit_entry OBJECT src/api/merit.c)
target_link_libraries(libmerit_entry PRIVATE merit_flags)

add_library(libmerit_shared SHARED $<TARGET_OBJECTS:libmerit_entry>)
target_link_libraries(libmerit_shared PRIVATE merit_api)
target_link_options(libmerit_shared PRIVATE -Wl,--version-script=${CMAKE_SOURCE_DIR}/cmake/libmerit.map
    -Wl,--no-undefined -Wl,--as-needed -Wl,--exclude-libs,ALL)
set_target_properties(libmerit_shared PROPERTIES OUTPUT_NAME merit VERSION ${PROJECT_VERSION} SOVERSION 0
    LINKER_LANGUAGE C LINK_DEPENDS ${CMAKE_SOURCE_DIR}/cmake/libmerit.map)

set(partial "")
if(CMAKE_C_COMPILER_ID STREQUAL GNU)
    set(partial -flinker-output=nolto-rel) # the layers may be built for link-time optimisation
endif()
set(archives "")
set(owners libmerit_entry)
foreach(layer base math text work nn policy signal route proof api)
    if(TARGET merit_${layer})
        list(APPEND archives $<TARGET_FILE:merit_${layer}>)
        list(APPEND owners merit_${layer})
    endif()
endforeach()
set(whole ${CMAKE_BINARY_DIR}/libmerit_whole.o)
add_custom_command(OUTPUT ${whole} DEPENDS ${owners} VERBATIM COMMAND_EXPAND_LISTS
    COMMAND ${CMAKE_C_COMPILER} -O2 -r -nostdlib ${partial} -o ${whole} $<TARGET_OBJECTS:libmerit_entry>
        -Wl,--start-group ${archives} -Wl,--end-group
    COMMAND ${CMAKE_OBJCOPY} --localize-hidden ${whole})
set_source_files_properties(${whole} PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
add_library(libmerit_static STATIC ${whole})
set_target_properties(libmerit_static PROPERTIES OUTPUT_NAME merit LINKER_LANGUAGE C)

file(RELATIVE_PATH MERIT_PC_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(cmake/merit.pc.in ${CMAKE_BINARY_DIR}/merit.pc @ONLY)
install(TARGETS libmerit_shared libmerit_static COMPONENT libmerit LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES include/merit/merit.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/merit COMPONENT libmerit)
install(FILES ${CMAKE_BINARY_DIR}/merit.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT libmerit)
